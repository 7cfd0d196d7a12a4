#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twinctl::fuzzing::amqp(data));
