package dev.curt

import com.sun.jna.Pointer
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject

/** What happens while a question is answered. */
public sealed interface Event {
    /** A path's text goes on. */
    public data class Text(val path: Int, val text: String) : Event

    /** A section (`perception`, `reasoning`, `answer`) of a path's response begins. */
    public data class SectionBegan(val path: Int, val section: String) : Event

    /** A section's text goes on. */
    public data class SectionText(val path: Int, val text: String) : Event

    /** A section has ended. */
    public data class SectionEnded(val path: Int, val section: String) : Event

    /** Keys, values and logits as they will be. */
    public data class Planned(val facts: JsonObject) : Event

    /** The prompt is cached: `tokens` were run, `reused` were there. */
    public data class Prefilled(val facts: JsonObject) : Event

    /** Paths were scored, and some perhaps dropped: `at_tokens`, `scored`, `kept`, `signal`. */
    public data class Checked(val facts: JsonObject) : Event

    /** An answer of the cascade was not accepted: `from`, `to`, `reason`. */
    public data class Escalated(val facts: JsonObject) : Event

    /** The cache at one of [AskOptions.showKvAt]; [Engine.kv] may be called now, in a listener. */
    public data class Cached(val facts: JsonObject) : Event
}

/** The event that the library tells; null for one of a newer library. */
internal fun event(at: Pointer): Event? {
    val path = at.getInt(4)
    val length = at.getNativeLong(8L + com.sun.jna.Native.POINTER_SIZE).toInt()
    val text = String(at.getPointer(8).getByteArray(0, length))
    fun facts() = Json.parseToJsonElement(text).jsonObject
    return when (at.getInt(0)) {
        1 -> Event.Text(path, text)
        2 -> Event.SectionBegan(path, text)
        3 -> Event.SectionText(path, text)
        4 -> Event.SectionEnded(path, text)
        5 -> Event.Planned(facts())
        6 -> Event.Prefilled(facts())
        7 -> Event.Checked(facts())
        8 -> Event.Escalated(facts())
        9 -> Event.Cached(facts())
        else -> null
    }
}
