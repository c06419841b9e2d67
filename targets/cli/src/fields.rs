//! Fields of the libraries as the command line calls them.

/// The library's field and the flag that sets it.
const FLAGS: [(&str, &str); 46] = [
    ("Providers::Only", "--ep-only"),
    ("answer_pattern", "--answer-pattern"),
    ("answer_tokens", "--answer-tokens"),
    ("budget", "--budget"),
    ("calibration", "--calibration"),
    ("check_at", "--check-at"),
    ("deadline_ms", "--deadline-ms"),
    ("dtype", "--dtype"),
    ("early_vote", "--early-vote"),
    ("first_finished", "--first-finished"),
    ("format", "--format"),
    ("head", "--head"),
    ("images", "--image"),
    ("jobs", "--jobs"),
    ("keep", "--keep"),
    ("key", "--key-env"),
    ("layers", "--layers"),
    ("max_image_pixels", "--max-image-pixels"),
    ("max_kv_bytes", "--max-kv-bytes"),
    ("max_tokens", "--max-tokens"),
    ("min_length", "--min-length"),
    ("min_p", "--min-p"),
    ("no_repeat_ngram_size", "--no-repeat-ngram-size"),
    ("out", "--out"),
    ("part", "--part"),
    ("paths", "--paths"),
    ("perception_tokens", "--perception-tokens"),
    ("pooling", "--pooling"),
    ("prefix", "--prefix"),
    ("prompt", "--prompt"),
    ("providers", "--ep"),
    ("question", "QUESTION"),
    ("reasoning_tokens", "--reasoning-tokens"),
    ("repetition_penalty", "--repetition-penalty"),
    ("rollouts", "--rollouts"),
    ("seed", "--seed"),
    ("show_kv_at", "--check-at"),
    ("signal", "--head"),
    ("stop", "--stop"),
    ("system", "--system"),
    ("temperature", "--temperature"),
    ("threads", "--threads"),
    ("top_k", "--top-k"),
    ("top_p", "--top-p"),
    ("vote", "--vote"),
    ("workload", "--workload"),
];

/// `message` with every field that stands in backticks replaced by its flag.
pub fn as_flags(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('`') {
        text.push_str(before);
        let flag = FLAGS
            .iter()
            .find_map(|(field, flag)| Some((after.strip_prefix(field)?.strip_prefix('`')?, flag)));
        match flag {
            Some((after, flag)) => {
                text.push_str(flag);
                rest = after;
            }
            None => {
                text.push('`');
                rest = after;
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_in_backticks_becomes_its_flag_and_nothing_else_changes() {
        assert_eq!(
            as_flags("`paths`: fewer `paths` or `max_tokens`; `curt doctor`, paths, `top"),
            "--paths: fewer --paths or --max-tokens; `curt doctor`, paths, `top"
        );
        assert_eq!(as_flags("``keep`"), "`--keep");
    }
}
