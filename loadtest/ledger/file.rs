//! The account's ledger as bytes, for a check in another process.
//!
//! ```text
//! "KGLEDGR1"
//! u32 packages   { u16 id length, id, u32 deliveries }
//! u32 streams    { u32 run, u32 conn, u32 length, length x u32 package index + 1 (0: not seen) }
//! u64 again      { u32 run, u32 conn, u32 seq, u32 package index }
//! u64 x 5 faults, in the order of `account::Faults`
//! ```
//! Integers are little-endian.

use super::point::Number;
use crate::upstream::account::{Account, Again, Faults};

const MAGIC: &[u8; 8] = b"KGLEDGR1";

/// Writes what a check needs.
pub fn write_account(account: &Account) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let small = |out: &mut Vec<u8>, n: usize| out.extend_from_slice(&(n as u32).to_le_bytes());
    small(&mut out, account.packages.len());
    for package in &account.packages {
        let id = &package.id.as_bytes()[..package.id.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&(id.len() as u16).to_le_bytes());
        out.extend_from_slice(id);
        out.extend_from_slice(&package.deliveries.to_le_bytes());
    }
    small(&mut out, account.streams.len());
    for ((run, conn), seen) in &account.streams {
        out.extend_from_slice(&run.to_le_bytes());
        out.extend_from_slice(&conn.to_le_bytes());
        small(&mut out, seen.len());
        seen.iter().for_each(|package| out.extend_from_slice(&package.to_le_bytes()));
    }
    out.extend_from_slice(&(account.again.len() as u64).to_le_bytes());
    for Again { number, package } in &account.again {
        for n in [number.run, number.conn, number.seq, *package] {
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
    let f = account.faults;
    for n in [f.undecodable, f.without_id, f.same_id_other_contents, f.wrong_count, f.corrupted] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out
}

/// Reads it again.
pub fn read_account(bytes: &[u8]) -> Result<Account, String> {
    let mut rest = Rest(bytes);
    if rest.take(8)? != MAGIC {
        return Err("not a ledger".into());
    }
    let mut account = Account::default();
    for _ in 0..rest.small()? {
        let len = u16::from_le_bytes(rest.array()?);
        let id = String::from_utf8_lossy(rest.take(usize::from(len))?).into_owned();
        let deliveries = rest.small()?;
        account.add_package(id, deliveries);
    }
    for _ in 0..rest.small()? {
        let (run, conn, len) = (rest.small()?, rest.small()?, rest.small()?);
        let seen = rest.take(len as usize * 4)?;
        let seen: Vec<u32> =
            seen.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        account.ledger_points += seen.iter().filter(|package| **package != 0).count() as u64;
        account.streams.insert((run, conn), seen);
    }
    for _ in 0..rest.big()? {
        let number = Number { run: rest.small()?, conn: rest.small()?, seq: rest.small()? };
        account.again.push(Again { number, package: rest.small()? });
    }
    account.faults = Faults {
        undecodable: rest.big()?,
        without_id: rest.big()?,
        same_id_other_contents: rest.big()?,
        wrong_count: rest.big()?,
        corrupted: rest.big()?,
    };
    Ok(account)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (head, tail) = self.0.split_at_checked(count).ok_or("the ledger is cut short")?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "length".into())
    }

    fn small(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn big(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_survives_its_bytes() {
        let mut account = Account::default();
        account.add_package("dk_1".into(), 2);
        account.streams.insert((1, 2), vec![1, 0, 1]);
        account.again.push(Again { number: Number { run: 1, conn: 2, seq: 0 }, package: 0 });
        account.faults.corrupted = 4;
        let bytes = write_account(&account);
        let read = read_account(&bytes).unwrap();
        assert_eq!(write_account(&read), bytes);
        assert_eq!(read.ledger_points, 2);
        for cut in 0..bytes.len() {
            assert!(read_account(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
