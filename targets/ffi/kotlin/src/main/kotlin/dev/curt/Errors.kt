package dev.curt

/** What a failed call came to. */
public enum class Status(internal val number: Int) {
    /** A handle that is none, or was closed. */
    Handle(1),

    /** An argument that cannot be. */
    Argument(2),

    /** An option outside its range, unknown, or at odds with another. */
    Option(3),

    /** The engine answers another question, or keys and values of it are borrowed. */
    Busy(4),

    /** The question was cancelled. */
    Cancelled(5),

    /** A buffer was too small. */
    TooSmall(6),

    /** The package is broken, or of a kind that curt does not read. */
    Package(7),

    /** A file could not be read. */
    File(8),

    /** There is no usable ONNX Runtime library. */
    Library(9),

    /** ONNX Runtime refused or failed. */
    Runtime(10),

    /** An image that cannot be seen. */
    Image(11),

    /** The question does not fit the model's context. */
    Context(12),

    /** Not enough memory. */
    Memory(13),

    /** The model gave numbers that mean nothing. */
    Model(14),

    /** The engine is in the background. */
    Background(15),

    /** A fault of curt's own. */
    Panic(16),
}

/**
 * A call that failed.
 *
 * @property status What it came to.
 * @property remedy What to do about it.
 * @property partial The answer as far as it came, where a question broke off.
 */
public class CurtException internal constructor(
    public val status: Status,
    message: String,
    public val remedy: String,
    public val partial: Answer? = null,
) : Exception(message)

/** The last call of this thread that failed. */
internal fun failure(status: Int, partial: Answer? = null): CurtException = CurtException(
    Status.entries.firstOrNull { it.number == status } ?: Status.Panic,
    text(Library::curt_error_message),
    text(Library::curt_error_remedy),
    partial,
)

/** @throws CurtException unless the call went well. */
internal fun check(status: Int) {
    if (status != 0) throw failure(status)
}
