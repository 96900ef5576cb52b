//! `man`: the man pages, made from the command line and from the texts of [`sections`].

mod sections;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Arg, Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::console::print_line;
use crate::operator::error::Exit;
use crate::syntax::error::Os;
use sections::{
    DIRECTIVES, ENVIRONMENT, EXIT_OF_SERVER, EXIT_OF_SUBCOMMANDS, FILES, ManSection, SIGNALS,
};

/// That of administration and daemons, where nginx's page is.
const SECTION: &str = "8";

/// `man`.
#[derive(Clone, Debug, Args)]
pub(super) struct ManCommand {
    /// Writes nginx_like.8 and a page for each subcommand into this directory. Without it, nginx_like(8) is printed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A page and the name of its file.
type Page = (String, Vec<u8>);

impl ManCommand {
    /// Prints or writes the pages of the command line `command`.
    pub(super) fn run(&self, command: Command) -> Exit {
        let pages = pages(command);
        let Some(dir) = &self.dir else {
            // A closed output leaves no place to report that to.
            let _ = io::stdout().write_all(&pages[0].1);
            return Exit::Success;
        };
        for (name, page) in pages {
            let path = dir.join(name);
            if let Err(error) = std::fs::write(&path, page) {
                let path = path.display();
                print_line(&format!("open() \"{path}\" failed ({})", Os(&error)));
                return Exit::NotAsAsked;
            }
        }
        Exit::Success
    }
}

/// All pages, that of the whole program first.
fn pages(mut command: Command) -> Vec<Page> {
    command.build();
    let subcommands: Vec<Command> = command.get_subcommands().cloned().collect();
    let see_also: Vec<String> = subcommands.iter().map(page_name).collect();
    let see_also = see_also.join(", ");
    let main = page(
        command,
        &[
            &SIGNALS,
            &FILES,
            &ENVIRONMENT,
            &EXIT_OF_SERVER,
            &EXIT_OF_SUBCOMMANDS,
            &DIRECTIVES,
        ],
        &see_also,
    );
    let others = subcommands.into_iter().map(|subcommand| {
        let sections = [&ENVIRONMENT, &EXIT_OF_SUBCOMMANDS];
        page(subcommand, &sections, &format!("nginx_like({SECTION})"))
    });
    std::iter::once(main).chain(others).collect()
}

/// The name of the page of a command, as other pages write it.
fn page_name(command: &Command) -> String {
    let name = command.get_display_name();
    format!("{}({SECTION})", name.unwrap_or_else(|| command.get_name()))
}

fn page(command: Command, sections: &[&ManSection], see_also: &str) -> Page {
    let has_subcommands = command.has_subcommands();
    let synopsis = synopsis(&command);
    let man = Man::new(command.override_usage(synopsis))
        .section(SECTION)
        .source(concat!("nginx_like ", env!("CARGO_PKG_VERSION")))
        .manual("nginx_like");
    let mut page = Vec::new();
    let mut write = || {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if has_subcommands {
            man.render_subcommands_section(&mut page)?;
        }
        let mut roff = Roff::new();
        for section in sections {
            add(section, &mut roff);
        }
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(see_also)]);
        roff.to_writer(&mut page)
    };
    write().expect("a vector takes everything");
    (man.get_filename(), page)
}

/// The forms of the command line. That of clap_mangen leaves out what the options of nginx are followed by.
fn synopsis(command: &Command) -> String {
    let mut words = vec![
        command
            .get_bin_name()
            .unwrap_or_else(|| command.get_name())
            .to_owned(),
    ];
    let is_grouped = |argument: &Arg| {
        let mut groups = command.get_groups().filter(|group| group.is_required_set());
        groups.any(|group| group.get_args().any(|id| id == argument.get_id()))
    };
    let shown = command.get_arguments().filter(|one| !one.is_hide_set());
    let (grouped, others): (Vec<&Arg>, Vec<&Arg>) = shown.partition(|one| is_grouped(one));
    let (positionals, options): (Vec<&Arg>, Vec<&Arg>) =
        others.into_iter().partition(|one| one.is_positional());
    let bracketed = |one: &Arg| match one.is_required_set() {
        true => form(one),
        false => format!("[{}]", form(one)),
    };
    words.extend(options.into_iter().map(bracketed));
    if !grouped.is_empty() {
        let forms: Vec<String> = grouped.into_iter().map(form).collect();
        words.push(format!("<{}>", forms.join(" | ")));
    }
    words.extend(positionals.into_iter().map(bracketed));
    if command.has_subcommands() {
        words.push("[COMMAND]".to_owned());
    }
    words.join(" ")
}

/// `-c FILE`, `--client ADDRESS`, `--json`, `BACKEND`.
fn form(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let takes_values = argument.get_num_args().is_none_or(|n| n.takes_values());
    let values = argument.get_value_names().unwrap_or_default();
    let values: Vec<&str> = values.iter().map(|name| name.as_str()).collect();
    let values = values.join(" ");
    match short.or(long) {
        Some(name) if takes_values && !values.is_empty() => format!("{name} {values}"),
        Some(name) => name,
        None => values,
    }
}

fn add(section: &ManSection, roff: &mut Roff) {
    roff.control("SH", [section.heading]);
    for paragraph in section.paragraphs {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
    for (term, text) in section.entries {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;
    use crate::config::known::names;

    #[test]
    fn every_own_directive_is_listed_and_every_listed_directive_exists() {
        let first_word = |(term, _): &(&'static str, _)| term.split([' ', ';']).next();
        let listed: Vec<&str> = DIRECTIVES.entries.iter().filter_map(first_word).collect();
        for name in &listed {
            assert!(names().any(|known| known == *name), "{name}");
        }
        for name in names().filter(|name| name.starts_with("lb_")) {
            assert!(listed.contains(&name), "{name}: write it into DIRECTIVES");
        }
    }

    #[test]
    fn every_option_subcommand_and_own_directive_has_its_place() {
        let pages = pages(Arguments::command());
        let texts: Vec<(&str, String)> = pages
            .iter()
            .map(|(name, page)| (name.as_str(), String::from_utf8(page.clone()).unwrap()))
            .collect();
        let (name, main) = &texts[0];
        assert_eq!(*name, "nginx_like.8");
        for (option, text) in [("-t", "Tests the configuration"), ("-s", "Sends a signal")] {
            assert!(
                main.contains(&format!("\\fB\\{option}\\fR")) && main.contains(text),
                "{main}"
            );
        }
        assert!(!main.contains("helper of a server"), "hidden options");
        assert!(main.contains(r"[\-c FILE] [\-p DIR]"), "{main}");
        let (_, explain) = texts
            .iter()
            .find(|(name, _)| *name == "nginx_like-explain.8")
            .expect("a page");
        let place = r"<\-\-upstream NAME | \-\-listener ADDRESS>";
        assert!(explain.contains(place), "{explain}");
        let mut command = Arguments::command();
        command.build();
        for subcommand in command.get_subcommands() {
            let name = format!("nginx_like-{}.8", subcommand.get_name());
            let (_, page) = texts.iter().find(|(n, _)| *n == name).expect("a page");
            assert!(page.contains(".SH \"EXIT STATUS\""), "{page}");
        }
        assert!(texts.iter().any(|(name, _)| *name == "nginx_like-status.8"));
    }
}
