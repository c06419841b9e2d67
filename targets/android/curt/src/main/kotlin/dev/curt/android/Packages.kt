package dev.curt.android

import android.content.Context
import android.content.res.AssetManager
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.file.Files
import java.nio.file.StandardCopyOption

/**
 * The packages that an app ships as assets, in the folder `curt`. ONNX Runtime maps weights from files, so that each is copied out
 * once, to storage that no backup takes, and again when the app was updated.
 */
public class Packages internal constructor(private val assets: Assets, private val root: File, private val version: Long) {
    public constructor(context: Context) : this(
        OfApp(context.assets),
        File(context.noBackupFilesDir, "curt"),
        context.packageManager.getPackageInfo(context.packageName, 0).lastUpdateTime,
    )

    /** The names of the packages. */
    public val names: List<String>
        get() = assets.list(FOLDER)

    /**
     * The folder of a package, copied out by the first call. Whoever is killed in the middle of it leaves nothing that is taken for a
     * package. Not for the main thread.
     *
     * @throws IOException where there is no such asset, or no room for it.
     */
    public fun folder(name: String): File = synchronized(lock) {
        val folder = File(root, "$name-$version")
        if (folder.isDirectory) return folder
        if (name !in names) throw IOException("assets/$FOLDER: expected one of $names, got $name")
        root.mkdirs()
        val unfinished = Files.createTempDirectory(root.toPath(), UNFINISHED).toFile()
        try {
            copy("$FOLDER/$name", unfinished)
            Files.move(unfinished.toPath(), folder.toPath(), StandardCopyOption.ATOMIC_MOVE)
        } catch (error: IOException) {
            unfinished.deleteRecursively()
            throw error
        }
        forget(name, folder)
        folder
    }

    /** Deletes what another version of the app has copied out, and what was never finished. */
    private fun forget(name: String, current: File) {
        root.listFiles().orEmpty()
            .filter { it != current && (it.name.startsWith(UNFINISHED) || it.name.substringBeforeLast('-') == name) }
            .forEach { it.deleteRecursively() }
    }

    private fun copy(asset: String, to: File) {
        // A folder has entries; a file has none.
        val entries = assets.list(asset)
        if (entries.isEmpty()) {
            assets.open(asset).use { from -> to.outputStream().use { from.copyTo(it) } }
            return
        }
        to.mkdirs()
        entries.forEach { copy("$asset/$it", File(to, it)) }
    }

    private companion object {
        const val FOLDER = "curt"
        const val UNFINISHED = "unfinished-"
        val lock = Any()
    }
}

/** What an app ships. Unit tests have no compiled app, and so no `AssetManager` with anything in it. */
internal interface Assets {
    /** The names in a folder; none of a file. */
    fun list(path: String): List<String>

    fun open(path: String): InputStream
}

private class OfApp(private val assets: AssetManager) : Assets {
    override fun list(path: String) = assets.list(path).orEmpty().toList()

    override fun open(path: String) = assets.open(path)
}
