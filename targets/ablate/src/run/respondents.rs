//! Who answers which arm.

use super::{Asked, EngineRespondent, Given, Respond, ServerRespondent};
use crate::arm::Arm;
use crate::error::Result;
use crate::record::{Sample, Start};

/// The engine, and servers for the arms that name one.
pub struct Respondents<'a> {
    /// curt itself.
    pub engine: EngineRespondent<'a>,
    /// Servers.
    pub servers: ServerRespondent<'a>,
}

impl Respond for Respondents<'_> {
    fn start(&mut self, asked: &[Asked<'_>]) -> Result<Start> {
        let start = self.engine.start(asked)?;
        self.servers.start(asked);
        Ok(start)
    }

    fn sample(&mut self, asked: &Asked<'_>, repeat: u32) -> Result<Sample> {
        self.engine.sample(asked, repeat)
    }

    fn answer(&mut self, arm: &Arm, paths: usize, asked: &Asked<'_>, repeat: u32) -> Result<Given> {
        match &arm.server {
            Some(server) => self.servers.answer(arm, server, asked, repeat),
            None => self.engine.answer(arm, paths, asked, repeat),
        }
    }
}
