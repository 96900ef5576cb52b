//! The counts of all proxies beside each other.

use std::fmt;

/// Rows in the order in which they come, a column for each proxy.
#[derive(Debug, Default)]
pub(super) struct Table {
    proxies: Vec<String>,
    rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    pub(super) fn add(&mut self, proxy: String, name: &str, count: f64) {
        let known = self.proxies.iter().position(|known| *known == proxy);
        let column = known.unwrap_or(self.proxies.len());
        if known.is_none() {
            self.proxies.push(proxy);
        }
        let row = self.rows.iter().position(|(known, _)| known == name);
        let row = row.unwrap_or_else(|| {
            self.rows.push((name.to_owned(), Vec::new()));
            self.rows.len() - 1
        });
        let counts = &mut self.rows[row].1;
        counts.resize(counts.len().max(column + 1), None);
        counts[column] = Some(count);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | {} |", self.proxies.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.proxies.len()))?;
        for (name, counts) in &self.rows {
            write!(f, "| {name} |")?;
            for column in 0..self.proxies.len() {
                match counts.get(column).copied().flatten() {
                    Some(count) if count >= 100.0 => write!(f, " {count:.0} |")?,
                    Some(count) => write!(f, " {count:.1} |")?,
                    None => write!(f, " |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
