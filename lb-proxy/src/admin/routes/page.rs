//! The page, its style sheet and its scripts. They are compiled in, and the policy that is sent with them lets a browser load
//! nothing else.

use super::route::AdminRoute;
use crate::admin::answer::AdminAnswer;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A route to a file below `admin/page`.
macro_rules! file {
    ($path:literal, $content_type:ident, $file:literal) => {
        AdminRoute::get($path, &[], |_, _| {
            let text = include_str!(concat!("../page/", $file));
            Ok(AdminAnswer::file($content_type, text))
        })
    };
}

pub(super) const PAGE: &[AdminRoute] = &[
    file!("/", HTML, "index.html"),
    file!("/page.css", CSS, "page.css"),
    file!("/page/actions.js", SCRIPT, "actions.js"),
    file!("/page/backends.js", SCRIPT, "backends.js"),
    file!("/page/dom.js", SCRIPT, "dom.js"),
    file!("/page/format.js", SCRIPT, "format.js"),
    file!("/page/main.js", SCRIPT, "main.js"),
    file!("/page/overview.js", SCRIPT, "overview.js"),
    file!("/page/problems.js", SCRIPT, "problems.js"),
    file!("/page/queries.js", SCRIPT, "queries.js"),
    file!("/page/sparkline.js", SCRIPT, "sparkline.js"),
    file!("/page/state.js", SCRIPT, "state.js"),
    file!("/page/transitions.js", SCRIPT, "transitions.js"),
    file!("/page/upstreams.js", SCRIPT, "upstreams.js"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPTS: &[&str] = &[
        include_str!("../page/actions.js"),
        include_str!("../page/backends.js"),
        include_str!("../page/dom.js"),
        include_str!("../page/format.js"),
        include_str!("../page/main.js"),
        include_str!("../page/overview.js"),
        include_str!("../page/problems.js"),
        include_str!("../page/queries.js"),
        include_str!("../page/sparkline.js"),
        include_str!("../page/state.js"),
        include_str!("../page/transitions.js"),
        include_str!("../page/upstreams.js"),
    ];

    #[test]
    fn every_script_that_the_page_loads_is_served() {
        let served = |path: &str| PAGE.iter().any(|route| route.path == path);
        let imports = SCRIPTS
            .iter()
            .flat_map(|script| script.split(" from \"./").skip(1));
        let mut files: Vec<&str> = imports
            .filter_map(|rest| Some(rest.split_once('"')?.0))
            .collect();
        files.push("main.js");
        assert!(files.len() > SCRIPTS.len());
        for file in files {
            assert!(served(&format!("/page/{file}")), "{file}");
        }
    }

    #[test]
    fn no_script_parses_texts_as_markup_or_code() {
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "http",
        ] {
            for script in SCRIPTS {
                let code = script.replace("http://www.w3.org/2000/svg", "");
                assert!(!code.contains(forbidden), "{forbidden}");
            }
        }
    }
}
