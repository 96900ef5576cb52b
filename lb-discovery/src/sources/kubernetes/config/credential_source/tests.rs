use super::*;

fn header(user: &str) -> Result<Option<String>, String> {
    let mut user: AuthInfo = serde_saphyr::from_str(user).unwrap();
    Ok(match CredentialSource::take(&mut user)? {
        CredentialSource::Fixed(value) => value.map(|v| v.to_str().unwrap().to_owned()),
        CredentialSource::File { path, .. } => Some(format!("file {}", path.display())),
        CredentialSource::ExecPlugin(_) => Some("plugin".to_owned()),
    })
}

#[test]
fn the_precedence_is_that_of_client_go() {
    let exec =
        "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never}";
    for (user, used) in [
        ("{}".to_owned(), None),
        ("{token: a}".to_owned(), Some("Bearer a")),
        ("{token: \"a\\n\"}".to_owned(), Some("Bearer a")),
        ("{token: a, tokenFile: /f}".to_owned(), Some("file /f")),
        ("{token: \"\", tokenFile: /f}".to_owned(), Some("file /f")),
        (format!("{{token: a, {exec}}}"), Some("Bearer a")),
        (format!("{{token: \"\", {exec}}}"), Some("plugin")),
        (format!("{{tokenFile: /f, {exec}}}"), Some("file /f")),
        ("{username: a, password: b}".to_owned(), Some("Basic YTpi")),
        (
            "{auth-provider: {name: oidc, config: {id-token: a}}}".to_owned(),
            Some("Bearer a"),
        ),
    ] {
        assert_eq!(header(&user).unwrap().as_deref(), used, "{user}");
    }
}

#[test]
fn unusable_credentials_are_named() {
    for (user, problem) in [
        ("{token: \"a\\u0007\"}", "characters"),
        ("{auth-provider: {name: gcp}}", "gke-gcloud-auth-plugin"),
        ("{auth-provider: {name: mine}}", "\"mine\""),
        (
            "{auth-provider: {name: gcp}, exec: {command: x}}",
            "only one",
        ),
    ] {
        let error = header(user).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}
