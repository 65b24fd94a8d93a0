//! Custody as text.
use std::fmt::Write as _;

use super::{Custody, Mark};

impl Custody {
    /// Whether two records contradict each other, or the package was not handed over.
    pub fn contradicts(&self) -> bool {
        self.findings.iter().any(|finding| finding.mark == Mark::Contradicts)
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut t = String::new();
        // Writing into a String cannot fail.
        macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
        say!("custody of {}", self.package);
        for record in &self.sides {
            let journal = &record.journal;
            let source = if journal.exported { "by an export of" } else { "by" };
            say!();
            say!("{} ({source} {}, head {})", record.side, journal.path.display(), journal.head);
            for file in &record.delivered {
                let md5 = file.md5.as_ref().map_or("not listed by the delivery", |md5| md5.as_str());
                say!("  delivered {} ({} bytes, md5 {md5})", file.from.display(), file.size);
                say!("            as {}", file.to);
            }
            if let Some(order) = &record.order {
                let step = order.step.as_deref().unwrap_or("not on record");
                say!("  order {} of {}, LIMS step {step}", order.id, order.artifacts.join(", "));
            }
            for e in &record.events {
                say!("  line {:<6} {:.0} {:<12} {:<9} {}", e.line, e.at, e.host, e.by, e.what);
            }
        }
        say!();
        for finding in &self.findings {
            say!("{:<2} {}", finding.mark.sign(), finding.text);
        }
        say!();
        say!("to check it without us (`custody --evidence DIR` writes the files that are named):");
        for check in &self.checks {
            say!("  # {}", check.claim);
            say!("  {}", check.command);
        }
        t
    }
}
