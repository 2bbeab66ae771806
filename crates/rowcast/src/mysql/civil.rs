//! Days of the proleptic Gregorian calendar, by Howard Hinnant's `days_from_civil`.

/// The number of 1970-01-01.
pub(crate) const DAY_1970: i64 = 719_468;

/// Days since 0000-03-01.
pub(crate) fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year
}

/// The year, month and day of such a number.
pub(crate) fn date_of(days: i64) -> (i64, i64, i64) {
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + days.div_euclid(146_097) * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_one_another() {
        assert_eq!(day_of(1970, 1, 1), DAY_1970);
        assert_eq!(day_of(2000, 3, 1) - day_of(2000, 2, 28), 2);
        for day in [0, 1, 365, 59_999, DAY_1970, DAY_1970 + 20_000, 3_652_000] {
            let (year, month, of_month) = date_of(day);
            assert_eq!(day_of(year, month, of_month), day);
        }
    }
}
