//! Claims about tokens: the right one is admitted by its role, any other refused, and the hash is computed once.

use super::{Role, Tokens, make};
use backsight_query::api::{Admission, Refusal};

#[test]
fn the_right_token_is_proved_once_and_any_other_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let (reader, agent) = (make(Role::Read, "grafana").unwrap(), make(Role::Ingest, "otel sdk").unwrap());
    std::fs::write(&path, format!("# people\n\n{}\n{}\n", reader.line, agent.line)).unwrap();
    let tokens = Tokens::read(&path).unwrap();
    assert_eq!(tokens.admission(None), Admission::Refused(Refusal::NoToken));
    assert_eq!(tokens.admission(Some(&reader.token)), Admission::Unproved);
    let forged = format!("{}x", reader.token);
    assert_eq!(tokens.prove(&forged), Err(Refusal::BadToken));
    assert_eq!(tokens.prove(&reader.token), Ok(()));
    assert_eq!(tokens.admission(Some(&reader.token)), Admission::Admitted);
    assert_eq!(tokens.admission(Some(&forged)), Admission::Refused(Refusal::BadToken));
    for unknown in ["", "x", "bks_", "bks_AAAA.BBBB", &reader.token[4..]] {
        assert_eq!(tokens.admission(Some(unknown)), Admission::Refused(Refusal::BadToken), "{unknown}");
    }
    assert_eq!(tokens.prove(&agent.token), Err(Refusal::Role));
    assert_eq!(tokens.admission(Some(&agent.token)), Admission::Refused(Refusal::Role));

    std::fs::write(&path, "role\n").unwrap();
    tokens.read_again().unwrap_err();
    assert_eq!(tokens.admission(Some(&reader.token)), Admission::Admitted, "what was known stays known");
    std::fs::write(&path, &agent.line).unwrap();
    tokens.read_again().unwrap();
    assert_eq!(tokens.admission(Some(&reader.token)), Admission::Refused(Refusal::BadToken));
}

#[test]
fn a_line_that_is_none_is_named_and_its_cost_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let hash = |cost: &str| format!("$argon2id$v=19${cost}$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA");
    let fine = format!("read {} x", hash("m=64,t=1,p=1"));
    let cases = [
        (format!("write {} x", hash("m=64,t=1,p=1")), "expected one of ingest, read, admin"),
        (format!("read {}", hash("m=64,t=1,p=1")), "expected a role, a hash and a name"),
        ("read plain x".to_owned(), "expected a hash as $argon2id"),
        (format!("read {} x", hash("m=99999999,t=1,p=1")), "expected a hash as $argon2id"),
        (format!("read {} x", hash("m=64,t=1")), "expected a hash as $argon2id"),
        (fine.clone(), "another line has this token's salt"),
    ];
    for (line, expected) in cases {
        std::fs::write(&path, format!("{fine}\n{line}\n")).unwrap();
        let error = Tokens::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: ") && error.contains(expected), "{error}");
    }
    assert!(Tokens::read(&folder.path().join("none")).unwrap_err().to_string().starts_with("read auth.tokens: "));
}
