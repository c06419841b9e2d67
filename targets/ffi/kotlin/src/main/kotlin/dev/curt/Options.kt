package dev.curt

import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

/** How an engine is opened; what is null is decided by curt. targets/ffi/README.md says what each is. */
public data class EngineOptions(
    /** File or name of the ONNX Runtime library. */
    val library: String? = null,
    val allowTelemetry: Boolean? = null,
    val threads: Int? = null,
    /** The first choice first: `cpu`, `nnapi`, `qnn`, `xnnpack` and others. */
    val providers: List<String> = emptyList(),
    val providersOnly: Boolean? = null,
    val attention: String? = null,
    val dtype: String? = null,
    val imageCacheBytes: Long? = null,
    val keepEncoder: Boolean? = null,
) {
    internal fun json(): String = json(
        "library" to library,
        "allow_telemetry" to allowTelemetry,
        "threads" to threads,
        "providers" to providers,
        "providers_only" to providersOnly,
        "attention" to attention,
        "dtype" to dtype,
        "image_cache_bytes" to imageCacheBytes,
        "keep_encoder" to keepEncoder,
    )
}

/** How a question is answered; what is null or empty is decided by the package. targets/ffi/README.md says what each is. */
public data class AskOptions(
    val prompt: String? = null,
    val system: String? = null,
    val paths: Int? = null,
    val vote: String? = null,
    val answerPattern: String? = null,
    val temperature: Float? = null,
    val topK: Int? = null,
    val topP: Float? = null,
    val minP: Float? = null,
    val repetitionPenalty: Float? = null,
    val noRepeatNgramSize: Int? = null,
    val minLength: Int? = null,
    val maxTokens: Int? = null,
    val seed: Long? = null,
    val stop: List<String> = emptyList(),
    val keep: List<String> = emptyList(),
    val checkAt: List<Int> = emptyList(),
    val signal: List<String> = emptyList(),
    val earlyVote: Boolean? = null,
    val firstFinished: Int? = null,
    val format: String? = null,
    val perceptionTokens: Int? = null,
    val reasoningTokens: Int? = null,
    val answerTokens: Int? = null,
    val deadlineMs: Long? = null,
    val calibration: String? = null,
    val maxKvBytes: Long? = null,
    val maxImagePixels: Long? = null,
    val reuse: Boolean? = null,
    val showKvAt: List<Int> = emptyList(),
) {
    internal fun json(): String = json(
        "prompt" to prompt,
        "system" to system,
        "paths" to paths,
        "vote" to vote,
        "answer_pattern" to answerPattern,
        "temperature" to temperature,
        "top_k" to topK,
        "top_p" to topP,
        "min_p" to minP,
        "repetition_penalty" to repetitionPenalty,
        "no_repeat_ngram_size" to noRepeatNgramSize,
        "min_length" to minLength,
        "max_tokens" to maxTokens,
        "seed" to seed,
        "stop" to stop,
        "keep" to keep,
        "check_at" to checkAt,
        "signal" to signal,
        "early_vote" to earlyVote,
        "first_finished" to firstFinished,
        "format" to format,
        "perception_tokens" to perceptionTokens,
        "reasoning_tokens" to reasoningTokens,
        "answer_tokens" to answerTokens,
        "deadline_ms" to deadlineMs,
        "calibration" to calibration,
        "max_kv_bytes" to maxKvBytes,
        "max_image_pixels" to maxImagePixels,
        "reuse" to reuse,
        "show_kv_at" to showKvAt,
    )
}

/** The fields that say something, as a JSON object. */
private fun json(vararg fields: Pair<String, Any?>): String {
    fun element(value: Any) = when (value) {
        is Float -> {
            require(value.isFinite()) { "options: expected finite numbers, got $value" }
            JsonPrimitive(value)
        }
        is Number -> JsonPrimitive(value)
        is Boolean -> JsonPrimitive(value)
        else -> JsonPrimitive(value.toString())
    }
    val said = fields.mapNotNull { (name, value) ->
        when (value) {
            null, emptyList<Any>() -> null
            is List<*> -> name to JsonArray(value.filterNotNull().map(::element))
            else -> name to element(value)
        }
    }
    return JsonObject(said.toMap()).toString()
}
