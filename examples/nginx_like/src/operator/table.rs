//! Aligned columns of text.

use std::fmt;

use lb_core::Escaped;

/// Two columns are this far apart.
const GAP: usize = 2;

/// The most characters of a cell. A longer one ends with an ellipsis, because all rows of its column are as wide.
const LONGEST_CELL: usize = 200;

/// How the cells of a column are aligned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under a heading. A column without a cell is not shown, and all cells are escaped: a row is one line.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    /// Moves all lines to the right. Default: 0 columns.
    #[must_use]
    pub(super) const fn indented(mut self, columns: usize) -> Self {
        self.indent = columns;
        self
    }

    /// Adds a row with a cell for each column; an empty one shows as `-`.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows
            .push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// The columns with a cell, and their widths.
    fn widths(&self) -> Vec<Option<usize>> {
        let columns = self.columns.iter().enumerate();
        let width = |(i, (heading, _)): (usize, &(&str, Align))| {
            let cells = self.rows.iter().map(|row| row[i].chars().count());
            let widest = cells.max().filter(|widest| *widest > 0)?;
            Some(widest.max(heading.len()))
        };
        columns.map(width).collect()
    }
}

impl fmt::Display for Table {
    /// Nothing without rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let widths = self.widths();
        let headings = self.columns.iter().map(|(heading, _)| *heading);
        self.write_line(f, headings, &widths)?;
        for row in &self.rows {
            let cells = row.iter().map(|cell| match cell.as_str() {
                "" => "-",
                cell => cell,
            });
            self.write_line(f, cells, &widths)?;
        }
        Ok(())
    }
}

impl Table {
    fn write_line<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        cells: impl Iterator<Item = &'a str>,
        widths: &[Option<usize>],
    ) -> fmt::Result {
        let mut line = " ".repeat(self.indent);
        let aligned = cells.zip(&self.columns).zip(widths);
        let shown =
            aligned.filter_map(|((cell, (_, align)), width)| Some((cell, align, (*width)?)));
        for (i, (cell, align, width)) in shown.enumerate() {
            if i > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            match align {
                Align::Left => line += &format!("{cell:<width$}"),
                Align::Right => line += &format!("{cell:>width$}"),
            }
        }
        writeln!(f, "{}", line.trim_end())
    }
}

/// The text of a cell, escaped and shortened.
fn shown(cell: &str) -> String {
    // A character is at least one when it is escaped.
    let begin = cell.chars().take(LONGEST_CELL + 1).collect::<String>();
    let mut text = Escaped(begin).to_string();
    if let Some((end, _)) = text.char_indices().nth(LONGEST_CELL) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cell_is_shortened() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Right)]);
        let [fits, long] = [LONGEST_CELL, 100_000].map(|length| "ü".repeat(length));
        table.row([fits.clone(), "1".to_owned()]);
        table.row([long, "\u{1b}".repeat(100_000)]);
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with(&format!("{fits}  ")), "{text}");
        assert!(
            lines[2].starts_with(&format!("{fits}…  \\u{{1b}}")),
            "{text}"
        );
        let width = 2 * (LONGEST_CELL + 1) + GAP;
        assert!(
            lines[2].chars().count() == width && lines[2].ends_with('…'),
            "{text}"
        );
    }

    #[test]
    fn columns_are_aligned_and_those_without_cells_are_left_out() {
        let columns = [
            ("NAME", Align::Left),
            ("ZONE", Align::Left),
            ("N", Align::Right),
            ("NOTE", Align::Left),
        ];
        let mut table = Table::new(&columns).indented(1);
        assert_eq!(table.to_string(), "");
        let text = str::to_owned;
        table.row([text("für"), text(""), text("1"), text("")]);
        table.row([text("\u{1b}[2J\n"), text(""), text("100"), text("x")]);
        let expected = " NAME           N  NOTE\n für            1  -\n \\u{1b}[2J\\n  100  x\n";
        assert_eq!(table.to_string(), expected);
    }
}
