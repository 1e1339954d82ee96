//! Answers against the OpenAPI file: as much of JSON Schema as the file uses; a keyword that is not known here fails.

use super::client::Answer;
use backsight_query::api::{ENDPOINTS, OPENAPI};
use regex::Regex;
use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// Holds an answer to a request for `path` against what the file promises of it.
pub(super) fn hold(path: &str, answer: &Answer) {
    let document = document();
    let path = path.split('?').next().unwrap();
    let is_it = |template: &str| {
        let (parts, of) = (path.split('/'), template.split('/'));
        parts.clone().count() == of.clone().count() && parts.zip(of).all(|(part, of)| part == of || of.starts_with('{'))
    };
    let known = document["paths"].as_object().unwrap().iter().find(|(template, _)| is_it(template));
    let responses = match known {
        Some((_, operations)) => &operations["get"]["responses"],
        None => &document["paths"]["/api/v1/search"]["get"]["responses"], // what is nowhere is a problem, too
    };
    let status = answer.status.to_string();
    let response =
        responses.get(&status).or_else(|| responses.get("default")).unwrap_or_else(|| panic!("{path}: {answer:?}"));
    let Some(content) = response.get("content") else { return assert!(answer.body.is_empty(), "{path}: {answer:?}") };
    let content_type = answer.header("content-type").unwrap();
    let media = content.get(content_type).unwrap_or_else(|| panic!("{path}: {content_type} is not promised"));
    if let Some(schema) = media.get("schema").filter(|_| answer.header("content-encoding").is_none()) {
        check(&document, schema, &answer.json()).unwrap_or_else(|why| panic!("{path}: {why}: {answer:?}"));
    }
}

/// Returns where `value` is not what `schema` promises.
fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, of) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "description" => true,
            "$ref" => {
                let pointer = of.as_str().unwrap().strip_prefix('#').unwrap();
                return check(document, document.pointer(pointer).unwrap(), value)
                    .map_err(|why| format!("{pointer}: {why}"));
            }
            "type" => of.as_array().map_or_else(|| is_of(value, of), |types| types.iter().any(|of| is_of(value, of))),
            "enum" => of.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= of.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= of.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| Regex::new(of.as_str().unwrap()).unwrap().is_match(text)),
            "anyOf" => of.as_array().unwrap().iter().any(|schema| check(document, schema, value).is_ok()),
            "items" => {
                for (idx, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, of, item).map_err(|why| format!("{idx}: {why}"))?;
                }
                true
            }
            "properties" => {
                for (name, schema) in of.as_object().unwrap() {
                    let property = value.get(name).map_or(Ok(()), |property| check(document, schema, property));
                    property.map_err(|why| format!("{name}: {why}"))?;
                }
                true
            }
            "required" => of.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let all = value.as_object().into_iter().flatten();
                let others = all.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                for (name, other) in others {
                    let other = of.as_bool().map_or_else(
                        || check(document, of, other),
                        |may| if may { Ok(()) } else { Err("is not promised".to_owned()) },
                    );
                    other.map_err(|why| format!("{name}: {why}"))?;
                }
                true
            }
            unknown => panic!("the file uses {unknown}, which this test does not know"),
        };
        if !holds {
            return Err(format!("{keyword} {of} does not hold for {value}"));
        }
    }
    Ok(())
}

fn is_of(value: &Value, of: &Value) -> bool {
    match of.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("no type is called {unknown}"),
    }
}

#[test]
fn the_file_has_every_endpoint_of_ours_and_no_other() {
    let document = document();
    let mut promised: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    promised.sort_unstable();
    let ours = |path: &str| path.starts_with("/api/v1/") || !path.starts_with("/api/");
    let mut served: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).filter(|path| ours(path)).collect();
    served.sort_unstable();
    assert_eq!(promised, served);
}
