//! Words that change the value of the number before them.

/// Words behind a number that change its value.
const CHANGING: [&str; 41] = [
    "mil",
    "mio",
    "mrd",
    "bil",
    "kk",
    "tens",
    "lakh",
    "lakhs",
    "crore",
    "crores",
    "score",
    "gross",
    "dozen",
    "dozens",
    "hundred",
    "hundreds",
    "thousand",
    "thousands",
    "million",
    "millions",
    "billion",
    "billions",
    "trillion",
    "trillions",
    "bn",
    "mn",
    "k",
    "half",
    "halves",
    "third",
    "thirds",
    "quarter",
    "quarters",
    "fourth",
    "tenth",
    "pi",
    "sqrt",
    "squared",
    "cubed",
    "factorial",
    "raised",
];

/// Characters of Chinese, Japanese and Korean that multiply the number before them, or add a half.
const MULTIPLYING: &str = "十百千万億亿兆萬半십백천만억조";

/// Whether `word`, in small letters, changes the value of the number before it.
pub fn changes(word: &str) -> bool {
    CHANGING.contains(&word) || is_fraction(word) || word.contains(|c| MULTIPLYING.contains(c))
}

/// Whether `word` is the name of parts: "sixths", "hundredths", and not "months".
fn is_fraction(word: &str) -> bool {
    const STEMS: [&str; 17] = [
        "four", "fif", "six", "seven", "eigh", "nin", "ten", "eleven", "twelf", "teen", "tie",
        "hundred", "thousand", "million", "billion", "trillion", "n",
    ];
    word.strip_suffix("ths").is_some_and(|stem| {
        STEMS
            .iter()
            .any(|end| stem == *end || (end.len() > 2 && stem.ends_with(end)))
    })
}
