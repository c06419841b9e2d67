package dev.curt

import com.sun.jna.Pointer
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.double
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

/**
 * What a question got, and what it cost.
 *
 * @property facts All that is known, as `curt ask --json` prints it.
 */
public class Answer internal constructor(public val facts: JsonObject) {
    /** The whole text of the path that speaks for the answer. */
    public val text: String
        get() = facts.getValue("text").jsonPrimitive.content

    /** What the vote chose, or what the answer pattern finds in the text. */
    public val found: String?
        get() = facts["answer"]?.jsonPrimitive?.content

    /** Tokens by phase: `prompt`, `reused`, `prefilled`, `generated`, `unused`. */
    public val tokens: Map<String, Int>
        get() = facts.getValue("tokens").jsonObject.mapValues { it.value.jsonPrimitive.int }

    /** Milliseconds by phase: `prefill_ms`, `decode_ms`, `first_token_ms`, `total_ms` and others. */
    public val times: Map<String, Double>
        get() = facts.getValue("times").jsonObject.mapValues { it.value.jsonPrimitive.double }

    /** Votes from the winner down; none without a vote. */
    public val votes: List<JsonElement>
        get() = facts["votes"]?.jsonArray.orEmpty()

    /** What was asked for and is not quite what was done. */
    public val notes: List<String>
        get() = facts["notes"]?.jsonArray.orEmpty().map { it.jsonPrimitive.content }

    override fun toString(): String = found ?: text
}

/** The answer of a handle, which is closed. */
internal fun taken(handle: Long): Answer = try {
    val json = text { buffer: Pointer?, capacity, length -> Library.curt_answer_json(handle, buffer, capacity, length) }
    Answer(Json.parseToJsonElement(json).jsonObject)
} finally {
    Library.curt_answer_close(handle)
}
