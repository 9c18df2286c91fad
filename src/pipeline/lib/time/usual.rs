//! The two shapes that most dates of logs have, read without trying anything else: those of RFC 3339 and its relatives, and
//! that of access logs. What is not quite like them, out of range too, is left to those who know every shape.

use super::{
    Nanos, Zone,
    civil::{self, Civil},
};

/// The moment, if the text has one of the shapes.
pub fn moment(text: &[u8], zone: &Zone) -> Option<Nanos> {
    match text.get(4)? {
        b'-' => rfc3339(text, zone),
        _ if text.get(2) == Some(&b'/') => access_log(text),
        _ => None,
    }
}

/// `2006-01-02T15:04:05.999Z`: a space for the T, a comma for the point, `+07:00` or `+0700` or nothing for the Z.
fn rfc3339(text: &[u8], zone: &Zone) -> Option<Nanos> {
    let (&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b' '], rest) =
        text.split_first_chunk::<11>()?
    else {
        return None;
    };
    let (clock, mut rest) = rest.split_first_chunk::<8>()?;
    let mut civil = at_clock(clock)?;
    civil.year = two(y1, y2)? * 100 + two(y3, y4)?;
    civil.month = two(m1, m2)?;
    civil.day = two(d1, d2)?;
    if let Some((b'.' | b',', behind)) = rest.split_first() {
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let missing = 9_u32.checked_sub(digits as u32).filter(|_| digits > 0)?;
        let (fraction, behind) = behind.split_at_checked(digits)?;
        let value = fraction.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        civil.nanos = value * 10_i64.pow(missing);
        rest = behind;
    }
    let civil = checked(civil)?;
    let seconds = match *rest {
        [] => zone.seconds_of(&civil),
        [b'Z'] => civil.seconds(),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => {
            civil.seconds() - offset(sign, [h1, h2, m1, m2])?
        }
        _ => return None,
    };
    Some(civil::nanos(seconds, civil.nanos))
}

/// `02/Jan/2006:15:04:05 -0700`, after 1970.
fn access_log(text: &[u8]) -> Option<Nanos> {
    let (&[d1, d2, b'/', a, b, c, b'/', y1, y2, y3, y4, b':'], rest) = text.split_first_chunk::<12>()? else {
        return None;
    };
    let (clock, &[b' ', sign, h1, h2, m1, m2]) = rest.split_first_chunk::<8>()? else { return None };
    let mut civil = at_clock(clock)?;
    civil.year = two(y1, y2)? * 100 + two(y3, y4)?;
    civil.month = match &[a, b, c] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    civil.day = two(d1, d2)?;
    let seconds = checked(civil)?.seconds() - offset(sign, [h1, h2, m1, m2])?;
    Some(civil::nanos(seconds, 0)).filter(|moment| *moment > 0)
}

/// `15:04:05`
fn at_clock(clock: &[u8; 8]) -> Option<Civil> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    Some(Civil { hour: two(h1, h2)?, minute: two(m1, m2)?, second: two(s1, s2)?, ..Civil::default() })
}

fn checked(civil: Civil) -> Option<Civil> {
    let good = (1..=12).contains(&civil.month)
        && (1..=civil::days_in_month(civil.year, civil.month)).contains(&civil.day)
        && civil.hour <= 23
        && civil.minute <= 59
        && civil.second <= 59;
    good.then_some(civil)
}

/// Seconds east of UTC.
fn offset(sign: u8, [h1, h2, m1, m2]: [u8; 4]) -> Option<i64> {
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    let size = (hours <= 23 && minutes <= 59).then_some(hours * 3_600 + minutes * 60)?;
    match sign {
        b'+' => Some(size),
        b'-' => Some(-size),
        _ => None,
    }
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}
