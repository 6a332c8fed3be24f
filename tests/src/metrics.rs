//! What a process says about itself on `/metrics`.

use anyhow::{Context, Result};

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Sum over the series with this name and all of these labels, such as `door="mqtt"`; `None` if there is none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let series = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, found_labels) = series.split_once('{').unwrap_or((series, ""));
            let wanted = found == name && labels.iter().all(|label| found_labels.contains(label));
            if wanted { value.parse::<f64>().ok() } else { None }
        });
        series.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// A counter that must be there.
    ///
    /// # Errors
    /// There is none.
    pub fn count(&self, name: &str, labels: &[&str]) -> Result<u64> {
        let value =
            self.sum(name, labels).with_context(|| format!("/metrics has no {name} {labels:?}:\n{}", self.0))?;
        Ok(value as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_name_and_labels_and_summed() {
        let metrics = Metrics::new(
            "# HELP x Things.\n# TYPE x counter\nx_total{door=\"mqtt\",reason=\"a\"} 2\n\
             x_total{door=\"mqtt\",reason=\"b\"} 3\nx_total{door=\"listen\",reason=\"a\"} 4\ny 1\n# EOF\n"
                .into(),
        );
        assert_eq!(metrics.sum("x_total", &["door=\"mqtt\""]), Some(5.0));
        assert_eq!(metrics.sum("x_total", &["door=\"mqtt\"", "reason=\"b\""]), Some(3.0));
        assert_eq!(metrics.sum("y", &[]), Some(1.0));
        assert_eq!(metrics.sum("x", &[]), None);
    }
}
