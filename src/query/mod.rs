//! IoT Hub's query language: text in, rows out.
