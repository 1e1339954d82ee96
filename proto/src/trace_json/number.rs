//! Floating-point numbers in JSON, which knows no NaN and no infinities: those are text.
//!
//! Called by serde, from [`super::ValueJson`] and from the OTLP export.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Finite(f64),
    Text(std::borrow::Cow<'a, str>),
}

pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let number = match *value {
        value if value.is_nan() => Number::Text("NaN".into()),
        f64::INFINITY => Number::Text("Infinity".into()),
        f64::NEG_INFINITY => Number::Text("-Infinity".into()),
        value => Number::Finite(value),
    };
    number.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Number::deserialize(deserializer)? {
        Number::Finite(value) => Ok(value),
        Number::Text(text) => match &*text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(serde::de::Error::custom(format_args!("`{text}` is not a number"))),
        },
    }
}
