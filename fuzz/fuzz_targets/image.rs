#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    curt_fuzz::feed(curt_fuzz::image, bytes);
});
