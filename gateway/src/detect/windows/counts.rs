//! Readings by what became of them.

/// Each reading is counted once: when it is taken, refused, or, having come late, when its window has closed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Went into a window that was open.
    pub used: u64,
    /// Came late and made a revision of a window that was closed.
    pub revised: u64,
    /// Older than the allowed lateness.
    pub late: u64,
    pub future: u64,
    pub duplicate: u64,
    pub not_finite: u64,
    pub channels_max: u64,
    pub name_too_long: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.used += other.used;
        self.revised += other.revised;
        self.late += other.late;
        self.future += other.future;
        self.duplicate += other.duplicate;
        self.not_finite += other.not_finite;
        self.channels_max += other.channels_max;
        self.name_too_long += other.name_too_long;
    }

    /// Readings not used, with the reason's label.
    pub fn refused(&self) -> [(&'static str, u64); 6] {
        [
            ("late", self.late),
            ("future", self.future),
            ("duplicate", self.duplicate),
            ("not_finite", self.not_finite),
            ("channels_max", self.channels_max),
            ("name_too_long", self.name_too_long),
        ]
    }
}
