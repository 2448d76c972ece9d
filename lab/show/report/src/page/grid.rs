//! A table that a page can sort and filter, and that is whole without either.

use maud::{Markup, html};

use crate::chart::Better;

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) title: String,
    /// What the title means.
    pub(super) hint: &'static str,
    /// Whether it holds numbers, which stand at the right and are sorted by size.
    pub(super) number: bool,
    /// Which way is better: a table is sorted the best first.
    pub(super) better: Option<Better>,
}

/// A cell: what it says, and by what it is sorted if it is a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) value: Option<f64>,
}

/// A row: its lock, and what it is filtered by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) lock: Option<usize>,
    /// In the order of the [`Filter`]s.
    pub(super) keys: Vec<String>,
    pub(super) cells: Vec<Cell>,
}

/// A choice among the values of one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    pub(super) title: String,
    pub(super) values: Vec<String>,
}

/// The whole table. The first column names its rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    /// Its own on the page.
    pub(super) id: &'static str,
    pub(super) caption: String,
    pub(super) columns: Vec<Column>,
    pub(super) filters: Vec<Filter>,
    pub(super) rows: Vec<Line>,
}

impl Grid {
    pub(super) fn html(&self) -> Markup {
        let status = format!("{}-status", self.id);
        html! {
            div.scroll tabindex="0" role="region" aria-labelledby=(format!("{}-caption", self.id)) {
                table.grid id=(self.id) {
                    caption id=(format!("{}-caption", self.id)) { span { (self.caption) } }
                    thead {
                        tr {
                            @for column in &self.columns {
                                th scope="col" aria-sort="none" title=(column.hint)
                                    data-first=[column.better.map(first)]
                                    class=[column.number.then_some("number")] {
                                    button type="button" { (column.title) }
                                }
                            }
                        }
                    }
                    tbody {
                        @for row in &self.rows { (self.row(row)) }
                    }
                }
            }
            p.status id=(status) role="status" {
                (self.rows.len()) " of " (self.rows.len()) " rows"
            }
        }
    }

    /// What chooses among its rows, and among whatever else on the page has the same keys.
    pub(super) fn choices(&self) -> Markup {
        let several = |filter: &&Filter| filter.values.len() > 1;
        html! {
            @if self.filters.iter().any(|filter| several(&filter)) {
                form.filters.needs-js data-for=(self.id) {
                    @for (key, filter) in self.filters.iter().enumerate().filter(|(_, filter)| several(filter)) {
                        label {
                            (filter.title)
                            select data-key=(key) name=(filter.title) autocomplete="off" {
                                option value="" { "all" }
                                @for value in &filter.values {
                                    option value=(format!("={value}")) { (value) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn row(&self, row: &Line) -> Markup {
        // Strings may hold anything, also what would part a list of them.
        let keys = serde_json::to_string(&row.keys).unwrap_or_default();
        html! {
            tr data-lock=[row.lock] data-keys=(keys) {
                @for (i, (cell, column)) in row.cells.iter().zip(&self.columns).enumerate() {
                    @if i == 0 {
                        th scope="row" { (cell.text) }
                    } @else {
                        td class=[column.number.then_some("number")] data-value=[cell.value] {
                            (cell.text)
                        }
                    }
                }
            }
        }
    }
}

/// How a column is sorted first.
fn first(better: Better) -> &'static str {
    match better {
        Better::Higher => "descending",
        Better::Lower => "ascending",
    }
}
