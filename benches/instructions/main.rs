//! Runs one case over and over, for callgrind to count its instructions: `instructions CASE`. Without a case it lists them.
//!
//! The count has to be the same each time. So nothing is random that can be helped (keys, tokens, the requests that are
//! timed), and what cannot (the seeds of hash tables) is there several times over.

mod cases;

use std::{
    env,
    error::Error,
    io::{self, Write},
};

use cases::{CASES, Run};

/// What durations are sampled by.
const SEED: u64 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(name) = env::args().nth(1) else {
        return Ok(CASES.iter().try_for_each(|(name, _)| writeln!(io::stdout(), "{name}"))?);
    };
    fastrand::seed(SEED);
    let (_, prepare) = CASES.iter().find(|(known, _)| *known == name).ok_or("there is no such case")?;
    let (runs, mut run) = prepare()?;
    // The first may have to make what the others use.
    let is_right = run(0) && counted(&mut run, runs);
    if !is_right {
        return Err(format!("{name} does not come to what it should").into());
    }
    Ok(writeln!(io::stdout(), "{runs}")?)
}

/// What is counted, by its name: as many runs, and whether each came to what it should.
#[inline(never)]
fn counted(run: &mut Run, runs: usize) -> bool {
    (1..=runs).all(run)
}
