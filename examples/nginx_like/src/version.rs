//! The version of the program.

/// The version, and in parentheses the name of the build (`NGINX_LIKE_BUILD` when it was compiled), as `--build` of nginx has it.
pub(crate) fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("NGINX_LIKE_BUILD") {
        Some(build) if !build.is_empty() => format!("{version} ({build})"),
        _ => version.to_owned(),
    }
}
