package dev.curt.android

import android.app.Activity
import android.app.Application
import android.content.ComponentCallbacks2
import android.content.res.Configuration
import android.os.Bundle
import dev.curt.Engine
import dev.curt.Trim
import java.util.concurrent.Executor
import java.util.concurrent.Executors

/**
 * Sends an engine to the background when no activity of the app is on the screen, brings it back with the first that is, and gives
 * memory back when the system asks for it.
 *
 * ```
 * EngineLifecycle(engine).register(application)
 * ```
 */
public class EngineLifecycle internal constructor(private val engine: Engine, private val work: Executor) :
    ComponentCallbacks2,
    Application.ActivityLifecycleCallbacks {
    /** The engine's work is done on a thread of its own: to wait for a question's end is not the main thread's. */
    public constructor(engine: Engine) : this(engine, Executors.newSingleThreadExecutor())

    private var started = 0

    /** Follows `application` from now on. */
    public fun register(application: Application) {
        application.registerComponentCallbacks(this)
        application.registerActivityLifecycleCallbacks(this)
    }

    /** Follows it no longer. */
    public fun unregister(application: Application) {
        application.unregisterComponentCallbacks(this)
        application.unregisterActivityLifecycleCallbacks(this)
    }

    override fun onActivityStarted(activity: Activity) {
        if (started++ == 0) work.execute { engine.foreground() }
    }

    override fun onActivityStopped(activity: Activity) {
        if (--started == 0 && !activity.isChangingConfigurations) work.execute { engine.background() }
    }

    override fun onTrimMemory(level: Int) {
        trimOf(level)?.let { work.execute { engine.trim(it) } }
    }

    @Deprecated("the system calls it on old devices")
    override fun onLowMemory(): Unit = work.execute { engine.trim(Trim.Weights) }

    override fun onConfigurationChanged(newConfig: Configuration) {}

    override fun onActivityCreated(activity: Activity, savedInstanceState: Bundle?) {}

    override fun onActivityResumed(activity: Activity) {}

    override fun onActivityPaused(activity: Activity) {}

    override fun onActivitySaveInstanceState(activity: Activity, outState: Bundle) {}

    override fun onActivityDestroyed(activity: Activity) {}
}

/**
 * What a level of [ComponentCallbacks2] asks for. Levels are two scales in one number, running and in the background, and no order: a
 * hidden app (20) is less urgent than a running one that is about to take the device down (15).
 */
@Suppress("DEPRECATION") // Android 14 no longer sends most of them; older devices do.
internal fun trimOf(level: Int): Trim? = when (level) {
    ComponentCallbacks2.TRIM_MEMORY_RUNNING_MODERATE -> Trim.Images
    ComponentCallbacks2.TRIM_MEMORY_RUNNING_LOW -> Trim.Rows
    ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL -> Trim.Weights
    ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN -> Trim.Images
    ComponentCallbacks2.TRIM_MEMORY_BACKGROUND -> Trim.Rows
    ComponentCallbacks2.TRIM_MEMORY_MODERATE -> Trim.Weights
    ComponentCallbacks2.TRIM_MEMORY_COMPLETE -> Trim.Weights
    else -> null
}
