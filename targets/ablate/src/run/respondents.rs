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
        // A server that cannot be asked is known sooner than an engine is warm.
        self.servers.start(asked)?;
        self.engine.start(asked)
    }

    fn join(&mut self, asked: &[Asked<'_>]) -> Result<()> {
        self.servers.start(asked)?;
        self.engine.join(asked)
    }

    fn prompt_ids(&mut self, asked: &Asked<'_>) -> Result<Vec<u32>> {
        self.engine.prompt_ids(asked)
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
