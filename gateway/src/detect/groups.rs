//! The kinds of deviation that are judged apart, each by one score that is 0 at most normal times.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub(super) enum Group {
    /// Readings are missing.
    Dropout = 0,
    /// One value repeats for too long.
    Stuck = 1,
    /// A few readings stand out from their neighbours.
    Spike = 2,
    /// The level jumps within the window.
    Step = 3,
    /// Neighbouring readings differ more, or less, than they should.
    Noise = 4,
    /// The mean is off what this time of day had.
    Level = 5,
    /// Readings leave the range of all that was learned.
    Range = 6,
    /// The parts of slow and fast movement have changed.
    Spectrum = 7,
    /// The features do not go together as they used to.
    Joint = 8,
    /// A steady level at which the channel never stayed.
    Novel = 9,
    /// Small deviations of one of the kinds above that last.
    Lasting = 10,
    /// What happens within seconds is unusual.
    Vibration = 11,
}

impl Group {
    pub(super) const COUNT: usize = 12;
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Dropout,
        Self::Stuck,
        Self::Spike,
        Self::Step,
        Self::Noise,
        Self::Level,
        Self::Range,
        Self::Spectrum,
        Self::Joint,
        Self::Novel,
        Self::Lasting,
        Self::Vibration,
    ];

    /// From the cause that is plain by itself to the one that needs explaining.
    pub(super) const PLAINEST_FIRST: [Self; Self::COUNT] = [
        Self::Dropout,
        Self::Stuck,
        Self::Noise,
        Self::Step,
        Self::Spike,
        Self::Level,
        Self::Range,
        Self::Novel,
        Self::Vibration,
        Self::Spectrum,
        Self::Lasting,
        Self::Joint,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dropout => "dropout",
            Self::Stuck => "stuck",
            Self::Spike => "spike",
            Self::Step => "step",
            Self::Noise => "noise",
            Self::Level => "level",
            Self::Range => "range",
            Self::Spectrum => "spectrum",
            Self::Joint => "joint",
            Self::Novel => "novel",
            Self::Lasting => "lasting",
            Self::Vibration => "vibration",
        }
    }

    /// Whether one window says nothing by itself: a work of a few minutes makes each feature vector a new one, and rests at
    /// many a level for one window. A fault goes on.
    pub(super) fn needs_company(self) -> bool {
        match self {
            Self::Joint | Self::Novel => true,
            Self::Dropout
            | Self::Stuck
            | Self::Spike
            | Self::Step
            | Self::Noise
            | Self::Level
            | Self::Range
            | Self::Spectrum
            | Self::Lasting
            | Self::Vibration => false,
        }
    }

    /// The smallest score at which the tail may begin: what is less matters to nobody, however calm the learning time was.
    pub(super) fn floor(self) -> f64 {
        match self {
            Self::Dropout => 0.08,
            Self::Stuck => 0.5,
            Self::Spike | Self::Step => 0.4,
            Self::Noise => 0.15,
            Self::Level => 1.5,
            Self::Range => 0.12,
            Self::Spectrum | Self::Joint | Self::Vibration => 1.3,
            Self::Novel => 0.04,
            Self::Lasting => 0.6,
        }
    }
}

/// One score per group, by `Group as usize`; f32 because they are remembered for the tail.
pub(super) type Scores = [f32; Group::COUNT];
