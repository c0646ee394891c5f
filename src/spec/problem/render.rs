//! Problems as people see them: message, reason, the line itself with the place marked, and what to write instead.

use std::{error::Error, fmt, ops::Range};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity as MietteSeverity, SourceCode};

use super::{FileProblems, Problem, Problems, Severity, Source, quoted};

/// More problems than this are counted and not shown: nobody reads on.
const MOST_SHOWN: usize = 50;

/// How problems are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// With box-drawing characters; otherwise only ASCII.
    pub unicode: bool,
    /// The width of the terminal in columns.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, unicode: true, width: 100 }
    }
}

impl Problems {
    /// All problems for people, file by file in the order of their places, and a last line that counts them.
    pub fn render(&self, style: Style) -> String {
        let handler = handler(style);
        let mut text = String::new();
        let all = self.files().flat_map(|file| file.iter().map(move |problem| (file, problem)));
        for (file, problem) in all.take(MOST_SHOWN) {
            text.push_str(&file.drawn(problem, &handler));
            text.push('\n');
        }
        if self.len() > MOST_SHOWN {
            text.push_str(&format!("and {} more\n", self.len() - MOST_SHOWN));
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }
}

impl FileProblems {
    fn drawn(&self, problem: &Problem, handler: &GraphicalReportHandler) -> String {
        let mut drawn = String::new();
        // Writing to a string fails only if miette cannot read the source: then the plain form has to do.
        match handler.render_report(&mut drawn, &Shown::new(problem, &self.source)) {
            Ok(()) => drawn,
            Err(_) => self.plain(problem),
        }
    }

    /// One problem without its line.
    fn plain(&self, problem: &Problem) -> String {
        let place = match self.position(problem) {
            Some((line, column)) => format!("{}:{line}:{column}", self.name()),
            None => self.name().to_owned(),
        };
        let why = problem.why.as_ref().map(|why| format!("  {why}\n")).unwrap_or_default();
        format!("{place}: {}\n{why}  help: {}\n", problem.message, problem.help)
    }
}

fn handler(style: Style) -> GraphicalReportHandler {
    let theme = match (style.unicode, style.colour) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => GraphicalTheme { styles: miette::ThemeStyles::ansi(), ..GraphicalTheme::ascii() },
        (false, false) => GraphicalTheme::none(),
    };
    GraphicalReportHandler::new_themed(theme)
        .with_width(style.width.clamp(40, 160))
        .with_context_lines(1)
        .with_links(false)
        .without_syntax_highlighting()
}

/// A problem in the shape that miette draws.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: &'a Source,
    reason: Option<Reason>,
}

/// Why something is a problem, and which other places belong to it: drawn as a chain of causes.
#[derive(Debug)]
struct Reason {
    text: String,
    next: Option<Box<Reason>>,
}

impl<'a> Shown<'a> {
    fn new(problem: &'a Problem, source: &'a Source) -> Self {
        let far = problem.related.iter().filter(|(span, _)| !is_near(problem, span, source));
        let far = far.map(|(span, label)| {
            let index = source.line_index(span.start);
            format!("{label}, in line {}: {}", index + 1, quoted(source.shown_line(index).trim()))
        });
        let texts: Vec<String> = problem.why.iter().cloned().chain(far).collect();
        let reason = texts.into_iter().rev().fold(None, |next, text| Some(Reason { text, next: next.map(Box::new) }));
        Self { problem, source, reason }
    }
}

/// Whether a related place is so near that one excerpt shows both.
fn is_near(problem: &Problem, related: &Range<usize>, source: &Source) -> bool {
    let Some(span) = &problem.span else {
        return false;
    };
    source.line_index(span.start).abs_diff(source.line_index(related.start)) <= 2
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.next.as_deref().map(|next| next as &(dyn Error + 'static))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problem.message)
    }
}

impl Error for Shown<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_ref().map(|reason| reason as &(dyn Error + 'static))
    }
}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<MietteSeverity> {
        Some(match self.problem.severity {
            Severity::Error => MietteSeverity::Error,
            Severity::Warning => MietteSeverity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(&self.problem.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.span.as_ref().map(|_| self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.source.within_line(self.problem.span.as_ref()?);
        let primary = LabeledSpan::new_primary_with_span(None, (span.start, span.len()));
        let related = self.problem.related.iter().filter(|(span, _)| is_near(self.problem, span, self.source));
        let related = related.map(|(span, label)| {
            let span = self.source.within_line(span);
            LabeledSpan::new_with_span(Some(label.clone()), (span.start, span.len()))
        });
        Some(Box::new(std::iter::once(primary).chain(related)))
    }
}
