//! Units of measurement: which there are, and how values are converted between those of one quantity.
//!
//! # Invariants
//! - Every conversion is linear, and known before the first value comes: [`Linear`].
//! - What a person would write comes out: 231 mV are 0.231 V, for thousandths are divided by 1000, not multiplied by a
//!   binary approximation of 0.001.
//!
//! Names are those in common use and, beside them, those of RFC 8428 (SenML, section 12.1) and RFC 8798 where they differ.

use std::fmt;

/// value · `times` / `over` + `offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    times: f64,
    over: f64,
    offset: f64,
}

impl Linear {
    pub const IDENTITY: Self = Self { times: 1.0, over: 1.0, offset: 0.0 };

    /// value · `scale` + `offset`. A scale such as 0.1 divides by 10, so that 3 becomes 0.3 and not
    /// 0.30000000000000004.
    pub fn scale(scale: f64, offset: f64) -> Self {
        let inverse = (1.0 / scale).round();
        if scale.abs() < 1.0 && 1.0 / inverse == scale {
            Self { times: 1.0, over: inverse, offset }
        } else {
            Self { times: scale, over: 1.0, offset }
        }
    }

    #[inline]
    pub fn apply(self, value: f64) -> f64 {
        value * self.times / self.over + self.offset
    }

    /// This one, and then `next`.
    pub fn then(self, next: Self) -> Self {
        let (times, over) = reduced(self.times * next.times, self.over * next.over);
        Self { times, over, offset: next.apply(self.offset) }
    }

    fn inverse(self) -> Self {
        Self { times: self.over, over: self.times, offset: -self.offset * self.over / self.times }
    }
}

/// Without what both have in common, as far as that is a whole number.
fn reduced(times: f64, over: f64) -> (f64, f64) {
    if times % over == 0.0 {
        (times / over, 1.0)
    } else if over % times == 0.0 {
        (1.0, over / times)
    } else {
        (times, over)
    }
}

/// What units measure; only units of the same are converted into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Quantity {
    Temperature,
    Pressure,
    Speed,
    Acceleration,
    Length,
    Area,
    Volume,
    Mass,
    VolumeFlow,
    MassFlow,
    Energy,
    Power,
    ApparentPower,
    ReactivePower,
    Force,
    Torque,
    Frequency,
    Ratio,
    Angle,
    Time,
    Voltage,
    Current,
    Resistance,
    Charge,
    Capacitance,
    Inductance,
    Conductivity,
    Illuminance,
    MagneticFluxDensity,
    Dose,
    Data,
    SoundLevel,
    SignalPower,
    Acidity,
    Concentration,
}

/// A unit that is known.
#[derive(Debug)]
pub struct Unit {
    /// The first one is shown.
    names: &'static [&'static str],
    quantity: Quantity,
    /// To the quantity's base unit, the first one of it in the table.
    to_base: Linear,
}

/// Why a conversion cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitFault {
    Unknown {
        name: String,
    },
    /// Of two quantities.
    Unlike {
        from: String,
        to: String,
    },
}

impl fmt::Display for UnitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "`{name}` is no unit that is known: {}", known(|_| true)),
            Self::Unlike { from, to } => {
                let quantity = find(from).map(|unit| unit.quantity);
                let like = known(|unit| quantity == Ok(unit.quantity));
                write!(f, "`{from}` does not convert to `{to}`, but to {like}")
            }
        }
    }
}

impl std::error::Error for UnitFault {}

fn known(wanted: impl Fn(&Unit) -> bool) -> String {
    let names = UNITS.iter().filter(|unit| wanted(unit)).filter_map(|unit| unit.names.first().copied());
    names.collect::<Vec<_>>().join(" ")
}

/// # Errors
/// It is none that is known.
pub fn find(name: &str) -> Result<&'static Unit, UnitFault> {
    let unit = UNITS.iter().find(|unit| unit.names.contains(&name));
    unit.ok_or_else(|| UnitFault::Unknown { name: name.to_owned() })
}

/// # Errors
/// A unit is not known, or they measure different things.
pub fn conversion(from: &str, to: &str) -> Result<Linear, UnitFault> {
    if from == to {
        return Ok(Linear::IDENTITY);
    }
    let (source, target) = (find(from)?, find(to)?);
    if source.quantity != target.quantity {
        return Err(UnitFault::Unlike { from: from.to_owned(), to: to.to_owned() });
    }
    Ok(source.to_base.then(target.to_base.inverse()))
}

const fn unit(quantity: Quantity, names: &'static [&'static str], times: f64, over: f64, offset: f64) -> Unit {
    Unit { names, quantity, to_base: Linear { times, over, offset } }
}

const fn by(quantity: Quantity, names: &'static [&'static str], times: f64, over: f64) -> Unit {
    unit(quantity, names, times, over, 0.0)
}

/// Seconds of an hour, and of a day.
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;
/// Exact by definition: international yard and pound (1959), US and imperial gallon, standard atmosphere and gravity.
const INCH_M: f64 = 0.0254;
const FOOT_M: f64 = 0.3048;
const MILE_M: f64 = 1_609.344;
const POUND_KG: f64 = 0.453_592_37;
const GRAVITY: f64 = 9.806_65;
const PSI_PA: f64 = POUND_KG * GRAVITY / (INCH_M * INCH_M);
const GALLON_M3: f64 = 0.003_785_411_784;
const IMPERIAL_GALLON_M3: f64 = 0.004_546_09;

use Quantity as Q;

#[rustfmt::skip]
static UNITS: &[Unit] = &[
    by(Q::Temperature, &["degC", "Cel", "°C", "C", "celsius"], 1.0, 1.0),
    unit(Q::Temperature, &["degF", "°F", "F", "Fahrenheit", "fahrenheit"], 5.0, 9.0, -160.0 / 9.0),
    unit(Q::Temperature, &["K", "kelvin"], 1.0, 1.0, -273.15),
    unit(Q::Temperature, &["mdegC"], 1.0, 1_000.0, 0.0),
    by(Q::Pressure, &["Pa"], 1.0, 1.0),
    by(Q::Pressure, &["hPa", "mbar"], 100.0, 1.0),
    by(Q::Pressure, &["kPa"], 1_000.0, 1.0),
    by(Q::Pressure, &["MPa"], 1e6, 1.0),
    by(Q::Pressure, &["bar"], 100_000.0, 1.0),
    by(Q::Pressure, &["psi"], PSI_PA, 1.0),
    by(Q::Pressure, &["atm"], 101_325.0, 1.0),
    by(Q::Pressure, &["mmHg", "Torr"], 101_325.0, 760.0),
    by(Q::Pressure, &["inHg"], 3_386.389, 1.0),
    by(Q::Pressure, &["mmH2O"], GRAVITY, 1.0),
    by(Q::Pressure, &["inH2O"], GRAVITY * 25.4, 1.0),
    by(Q::Speed, &["m/s", "mps"], 1.0, 1.0),
    by(Q::Speed, &["km/h", "kmh", "kph"], 1.0, 3.6),
    by(Q::Speed, &["mph"], MILE_M, HOUR),
    by(Q::Speed, &["kn", "kt"], 1_852.0, HOUR),
    by(Q::Speed, &["ft/s"], FOOT_M, 1.0),
    by(Q::Speed, &["mm/s"], 1.0, 1_000.0),
    by(Q::Acceleration, &["m/s2", "m/s²"], 1.0, 1.0),
    by(Q::Acceleration, &["g0", "gn"], GRAVITY, 1.0),
    by(Q::Acceleration, &["mg0"], GRAVITY, 1_000.0),
    by(Q::Length, &["m"], 1.0, 1.0),
    by(Q::Length, &["km"], 1_000.0, 1.0),
    by(Q::Length, &["cm"], 1.0, 100.0),
    by(Q::Length, &["mm"], 1.0, 1_000.0),
    by(Q::Length, &["um", "µm"], 1.0, 1e6),
    by(Q::Length, &["in"], INCH_M, 1.0),
    by(Q::Length, &["ft"], FOOT_M, 1.0),
    by(Q::Length, &["yd"], 0.9144, 1.0),
    by(Q::Length, &["mi"], MILE_M, 1.0),
    by(Q::Area, &["m2", "m²"], 1.0, 1.0),
    by(Q::Area, &["cm2"], 1.0, 10_000.0),
    by(Q::Area, &["ha"], 10_000.0, 1.0),
    by(Q::Volume, &["m3", "m³"], 1.0, 1.0),
    by(Q::Volume, &["l", "L"], 1.0, 1_000.0),
    by(Q::Volume, &["ml", "mL"], 1.0, 1e6),
    by(Q::Volume, &["gal"], GALLON_M3, 1.0),
    by(Q::Volume, &["galUK"], IMPERIAL_GALLON_M3, 1.0),
    by(Q::Volume, &["ft3"], FOOT_M * FOOT_M * FOOT_M, 1.0),
    by(Q::Mass, &["kg"], 1.0, 1.0),
    by(Q::Mass, &["g"], 1.0, 1_000.0),
    by(Q::Mass, &["mg"], 1.0, 1e6),
    by(Q::Mass, &["t"], 1_000.0, 1.0),
    by(Q::Mass, &["lb"], POUND_KG, 1.0),
    by(Q::Mass, &["oz"], POUND_KG, 16.0),
    by(Q::VolumeFlow, &["m3/s"], 1.0, 1.0),
    by(Q::VolumeFlow, &["m3/h", "m³/h"], 1.0, HOUR),
    by(Q::VolumeFlow, &["l/s"], 1.0, 1_000.0),
    by(Q::VolumeFlow, &["l/min", "L/min"], 1.0, 60_000.0),
    by(Q::VolumeFlow, &["l/h", "L/h"], 1.0, 1_000.0 * HOUR),
    by(Q::VolumeFlow, &["gal/min", "gpm"], GALLON_M3, 60.0),
    by(Q::VolumeFlow, &["ft3/min", "cfm"], FOOT_M * FOOT_M * FOOT_M, 60.0),
    by(Q::MassFlow, &["kg/s"], 1.0, 1.0),
    by(Q::MassFlow, &["kg/h"], 1.0, HOUR),
    by(Q::MassFlow, &["g/s"], 1.0, 1_000.0),
    by(Q::MassFlow, &["t/h"], 1_000.0, HOUR),
    by(Q::Energy, &["J", "Ws"], 1.0, 1.0),
    by(Q::Energy, &["kJ"], 1_000.0, 1.0),
    by(Q::Energy, &["MJ"], 1e6, 1.0),
    by(Q::Energy, &["Wh"], HOUR, 1.0),
    by(Q::Energy, &["mWh"], HOUR, 1_000.0),
    by(Q::Energy, &["Wmin"], 60.0, 1.0),
    by(Q::Energy, &["kWh"], 1_000.0 * HOUR, 1.0),
    by(Q::Energy, &["MWh"], 1e6 * HOUR, 1.0),
    by(Q::Energy, &["cal"], 4.184, 1.0),
    by(Q::Energy, &["kcal"], 4_184.0, 1.0),
    by(Q::Energy, &["BTU"], 1_055.055_852_62, 1.0),
    by(Q::Power, &["W"], 1.0, 1.0),
    by(Q::Power, &["mW"], 1.0, 1_000.0),
    by(Q::Power, &["uW", "µW"], 1.0, 1e6),
    by(Q::Power, &["kW"], 1_000.0, 1.0),
    by(Q::Power, &["MW"], 1e6, 1.0),
    by(Q::Power, &["hp"], 745.699_871_582_270_2, 1.0),
    by(Q::Power, &["PS"], 735.498_75, 1.0),
    by(Q::ApparentPower, &["VA"], 1.0, 1.0),
    by(Q::ApparentPower, &["kVA"], 1_000.0, 1.0),
    by(Q::ReactivePower, &["var", "VAr"], 1.0, 1.0),
    by(Q::ReactivePower, &["kvar", "kVAr"], 1_000.0, 1.0),
    by(Q::Force, &["N"], 1.0, 1.0),
    by(Q::Force, &["kN"], 1_000.0, 1.0),
    by(Q::Force, &["kgf"], GRAVITY, 1.0),
    by(Q::Force, &["lbf"], POUND_KG * GRAVITY, 1.0),
    by(Q::Torque, &["Nm"], 1.0, 1.0),
    by(Q::Torque, &["lbfft"], POUND_KG * GRAVITY * FOOT_M, 1.0),
    by(Q::Frequency, &["Hz", "1/s"], 1.0, 1.0),
    by(Q::Frequency, &["mHz"], 1.0, 1_000.0),
    by(Q::Frequency, &["kHz"], 1_000.0, 1.0),
    by(Q::Frequency, &["MHz"], 1e6, 1.0),
    by(Q::Frequency, &["GHz"], 1e9, 1.0),
    by(Q::Frequency, &["rpm", "1/min", "beat/min"], 1.0, 60.0),
    by(Q::Ratio, &["/", "1"], 1.0, 1.0),
    by(Q::Ratio, &["%", "%RH", "%EL", "percent"], 1.0, 100.0),
    by(Q::Ratio, &["permille", "‰"], 1.0, 1_000.0),
    by(Q::Ratio, &["ppm"], 1.0, 1e6),
    by(Q::Ratio, &["ppb"], 1.0, 1e9),
    by(Q::Angle, &["rad"], 1.0, 1.0),
    by(Q::Angle, &["deg", "°", "lon", "lat"], std::f64::consts::PI, 180.0),
    by(Q::Angle, &["gon"], std::f64::consts::PI, 200.0),
    by(Q::Time, &["s"], 1.0, 1.0),
    by(Q::Time, &["ms"], 1.0, 1_000.0),
    by(Q::Time, &["us", "µs"], 1.0, 1e6),
    by(Q::Time, &["ns"], 1.0, 1e9),
    by(Q::Time, &["min"], 60.0, 1.0),
    by(Q::Time, &["h"], HOUR, 1.0),
    by(Q::Time, &["d"], DAY, 1.0),
    by(Q::Voltage, &["V"], 1.0, 1.0),
    by(Q::Voltage, &["uV", "µV"], 1.0, 1e6),
    by(Q::Voltage, &["mV"], 1.0, 1_000.0),
    by(Q::Voltage, &["kV"], 1_000.0, 1.0),
    by(Q::Current, &["A"], 1.0, 1.0),
    by(Q::Current, &["uA", "µA"], 1.0, 1e6),
    by(Q::Current, &["mA"], 1.0, 1_000.0),
    by(Q::Current, &["kA"], 1_000.0, 1.0),
    by(Q::Resistance, &["Ohm", "ohm", "Ω"], 1.0, 1.0),
    by(Q::Resistance, &["mOhm"], 1.0, 1_000.0),
    by(Q::Resistance, &["kOhm"], 1_000.0, 1.0),
    by(Q::Resistance, &["MOhm"], 1e6, 1.0),
    by(Q::Charge, &["As", "coulomb"], 1.0, 1.0),
    by(Q::Charge, &["Ah"], HOUR, 1.0),
    by(Q::Charge, &["mAh"], HOUR, 1_000.0),
    by(Q::Capacitance, &["farad"], 1.0, 1.0),
    by(Q::Capacitance, &["uF", "µF"], 1.0, 1e6),
    by(Q::Capacitance, &["nF"], 1.0, 1e9),
    by(Q::Capacitance, &["pF"], 1.0, 1e12),
    by(Q::Inductance, &["H"], 1.0, 1.0),
    by(Q::Inductance, &["mH"], 1.0, 1_000.0),
    by(Q::Conductivity, &["S/m"], 1.0, 1.0),
    by(Q::Conductivity, &["mS/cm"], 1.0, 10.0),
    by(Q::Conductivity, &["uS/cm", "µS/cm"], 1.0, 10_000.0),
    by(Q::Illuminance, &["lx", "lux"], 1.0, 1.0),
    by(Q::Illuminance, &["klx"], 1_000.0, 1.0),
    by(Q::MagneticFluxDensity, &["T"], 1.0, 1.0),
    by(Q::MagneticFluxDensity, &["mT"], 1.0, 1_000.0),
    by(Q::MagneticFluxDensity, &["uT", "µT"], 1.0, 1e6),
    by(Q::Dose, &["Sv/h"], 1.0, 1.0),
    by(Q::Dose, &["uSv/h", "µSv/h"], 1.0, 1e6),
    by(Q::Data, &["B"], 1.0, 1.0),
    by(Q::Data, &["bit"], 1.0, 8.0),
    by(Q::Data, &["kB"], 1_000.0, 1.0),
    by(Q::Data, &["MB"], 1e6, 1.0),
    by(Q::Data, &["GB"], 1e9, 1.0),
    by(Q::Data, &["KiB"], 1_024.0, 1.0),
    by(Q::Data, &["MiB"], 1_048_576.0, 1.0),
    by(Q::Data, &["GiB"], 1_073_741_824.0, 1.0),
    by(Q::SoundLevel, &["dB"], 1.0, 1.0),
    by(Q::SignalPower, &["dBm"], 1.0, 1.0),
    unit(Q::SignalPower, &["dBW"], 1.0, 1.0, 30.0),
    by(Q::Acidity, &["pH"], 1.0, 1.0),
    by(Q::Concentration, &["kg/m3"], 1.0, 1.0),
    by(Q::Concentration, &["g/m3", "mg/l", "mg/L"], 1.0, 1_000.0),
    by(Q::Concentration, &["ug/m3", "µg/m3", "µg/m³"], 1.0, 1e9),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(value: f64, from: &str, to: &str) -> f64 {
        conversion(from, to).unwrap().apply(value)
    }

    #[test]
    fn decimal_prefixes_give_the_decimal_that_a_person_would_write() {
        for (value, from, to, expected) in [
            (231.0, "mV", "V", 0.231),
            (1013.0, "hPa", "kPa", 101.3),
            (101.3, "kPa", "mbar", 1013.0),
            (3.0, "permille", "%", 0.3),
            (5.0, "kWh", "Wh", 5_000.0),
            (7.0, "mAh", "Ah", 0.007),
            (45.0, "%RH", "/", 0.45),
            (36.0, "km/h", "m/s", 10.0),
            (90.0, "l/min", "m3/h", 5.4),
            (600.0, "rpm", "Hz", 10.0),
        ] {
            assert_eq!(converted(value, from, to), expected, "{value} {from} in {to}");
        }
    }

    #[test]
    fn fixed_points_of_the_scales_meet() {
        for (value, from, to, expected) in [
            (32.0, "degF", "degC", 0.0),
            (212.0, "°F", "Cel", 100.0),
            (-40.0, "degC", "degF", -40.0),
            (0.0, "K", "degC", -273.15),
            (1.0, "psi", "kPa", 6.894_757_293_168),
            (760.0, "mmHg", "atm", 1.0),
            (1.0, "mph", "km/h", 1.609_344),
            (1.0, "kn", "km/h", 1.852),
            (1.0, "gal", "l", 3.785_411_784),
            (1.0, "lb", "g", 453.592_37),
            (180.0, "deg", "rad", std::f64::consts::PI),
            (1.0, "hp", "W", 745.699_871_582_270_2),
            (0.0, "dBW", "dBm", 30.0),
        ] {
            let got = converted(value, from, to);
            assert!((got - expected).abs() <= 1e-11 * expected.abs().max(1.0), "{value} {from} in {to}: {got}");
        }
    }

    #[test]
    fn there_and_back_again_is_the_same_for_all_units() {
        for from in UNITS {
            for to in UNITS.iter().filter(|to| to.quantity == from.quantity) {
                let (from, to) = (from.names[0], to.names[0]);
                let back = converted(converted(21.5, from, to), to, from);
                assert!((back - 21.5).abs() < 1e-9, "{from} {to}: {back}");
            }
        }
    }

    #[test]
    fn no_name_means_two_units_and_each_fits_a_measurement() {
        let names: Vec<_> = UNITS.iter().flat_map(|unit| unit.names).collect();
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name), "{name}");
            assert!(name.len() <= crate::measurement::UNIT_MAX_BYTES, "{name}");
        }
    }

    #[test]
    fn units_that_are_unknown_or_unlike_are_told_with_those_that_would_do() {
        let fault = |from: &str, to: &str| conversion(from, to).unwrap_err().to_string();
        assert!(fault("degX", "degC").starts_with("`degX` is no unit that is known: degC degF K "));
        assert!(fault("degC", "kelvins").starts_with("`kelvins` is no unit"));
        assert_eq!(fault("kg/s", "degC"), "`kg/s` does not convert to `degC`, but to kg/s kg/h g/s t/h");
        assert_eq!(conversion("furlong", "furlong"), Ok(Linear::IDENTITY), "nothing is to be converted");
    }

    #[test]
    fn a_scale_of_tenths_gives_tenths() {
        assert_eq!(Linear::scale(0.1, 0.0).apply(3.0), 0.3);
        assert_eq!(Linear::scale(0.01, -40.0).apply(6_150.0), 21.5);
        assert_eq!(Linear::scale(-1.0, 1.0).apply(1.0), 0.0);
        assert_eq!(Linear::scale(0.3, 0.0).apply(10.0), 3.0);
        assert_eq!(Linear::scale(0.1, 0.0).then(conversion("degF", "degC").unwrap()).apply(320.0), 0.0);
    }
}
