//! An engine that several threads know of: one asks at a time, the others are told so; any may cancel, trim or close.

use std::cell::Cell;
use std::path::PathBuf;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use curt::kv::KvCache;
use curt::{Answer, AskError, AskOptions, CancelToken, Engine, EngineOptions, Event, Trim};
use serde_json::json;

use crate::question::Asked;
use crate::status::{CurtStatus, Failure};

/// What an engine gives back; each is more than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The vision graph and what it made of images.
    Images,
    /// Keys and values too.
    Rows,
    /// The weights too: the next question loads them again.
    Weights,
}

/// Why a question has no answer, and what there was of one.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub failure: Failure,
    /// The answer as far as it came.
    pub partial: Option<Box<Answer>>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            partial: None,
        }
    }
}

/// An engine, and who uses it.
///
/// Of its two locks, the engine's is taken first; the state's is held for a few lines only.
pub struct Resident {
    dir: PathBuf,
    options: EngineOptions,
    facts: String,
    /// `None` where its weights were given back.
    engine: Mutex<Option<Engine>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    turn: Option<(ThreadId, CancelToken)>,
    /// Views of its keys and values that somebody holds.
    borrowed: usize,
    /// What is to be given back as soon as nobody uses it.
    trim: Option<Level>,
    background: bool,
    closed: bool,
    broken: bool,
}

thread_local! {
    /// The engine that shows its cache on this thread now, and the cache.
    static SHOWN: Cell<(*const Resident, *const KvCache)> = const { Cell::new((ptr::null(), ptr::null())) };
}

impl Resident {
    /// Opens the package in `dir`.
    ///
    /// # Errors
    /// Those of [`Engine::open`].
    pub fn open(dir: PathBuf, options: EngineOptions) -> Result<Self, Failure> {
        let engine = Engine::open(&dir, &options)?;
        let package = engine.package();
        let kv = package.graph().geometry();
        let facts = json!({
            "dir": dir.display().to_string(),
            "context_tokens": package.context_tokens(),
            "takes_images": package.image_processor().is_some(),
            "kv": {
                "layers": kv.layers,
                "kv_heads": kv.kv_heads,
                "head_dim": kv.head_dim,
                "dtype": kv.dtype.name(),
                "bytes_per_token": kv.bytes_per_token(),
            },
            "attention": engine.attention(),
            "onnxruntime": curt::session::library_info()?.version,
        });
        Ok(Self {
            dir,
            options,
            facts: facts.to_string(),
            engine: Mutex::new(Some(engine)),
            state: Mutex::default(),
        })
    }

    /// What was opened, as JSON.
    pub fn facts(&self) -> &str {
        &self.facts
    }

    /// Answers `asked`. `on_event` sees what happens, and stops it by giving false.
    ///
    /// # Errors
    /// [`CurtStatus::Busy`], [`CurtStatus::Background`] and [`CurtStatus::Panic`] where the engine is not to be had;
    /// [`CurtStatus::Cancelled`]; those of [`Engine::ask`].
    pub fn ask(
        &self,
        asked: &Asked,
        options: AskOptions,
        on_event: &mut dyn FnMut(&Event<'_>) -> bool,
    ) -> Result<Answer, Refused> {
        let cancel = CancelToken::new();
        let mut turn = self.begin(&cancel)?;
        let (question, _running) = asked.begin(&cancel)?;
        let options = AskOptions {
            cancel: cancel.clone(),
            ..options
        };
        let mut kept = 0;
        let answered = turn.engine()?.ask(&question, &options, &mut |event| {
            if cancel.is_cancelled() {
                return;
            }
            let _shown = match &event {
                Event::Cached(paths) => Some(Shown::new(self, paths.kv)),
                _ => None,
            };
            let go_on = on_event(&event);
            // What is lent to a callback goes with it: the next token moves it.
            kept = self.state().borrowed;
            if !go_on || kept > 0 {
                cancel.cancel();
            }
        });
        match answered {
            Ok(answer) => Ok(answer),
            Err(AskError { error, partial }) => Err(Refused {
                failure: match kept {
                    0 => error.into(),
                    kept => Failure::new(
                        CurtStatus::Busy,
                        format!(
                            "the callback kept {kept} views of keys and values: release them before it returns"
                        ),
                    ),
                },
                partial,
            }),
        }
    }

    /// Gives `use_kv` the cache: between questions, or while it is shown to a callback on this thread. What it borrows of it
    /// stays where it is until [`Self::release`].
    ///
    /// # Errors
    /// Those of [`Self::ask`] where the engine is not to be had, and those of `use_kv`.
    pub(crate) fn lend<T>(
        &self,
        use_kv: impl FnOnce(&KvCache) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (shown_by, kv) = SHOWN.get();
        if ptr::eq(shown_by, self) {
            // SAFETY: `Shown` lent it for as long as the callback runs, which is on this thread, and so until after this call.
            let lent = use_kv(unsafe { &*kv })?;
            self.state().borrowed += 1;
            return Ok(lent);
        }
        let mut state = self.state();
        self.usable(&state)?;
        if state.turn.is_some() {
            let message = "the engine is answering: its keys and values can be borrowed between questions, and by a callback \
                           while they are shown (`show_kv_at`)";
            return Err(Failure::new(CurtStatus::Busy, message));
        }
        // Nobody can begin a turn or give memory back from here on.
        state.borrowed += 1;
        drop(state);
        let lent = match &*self.engine() {
            Some(engine) => use_kv(engine.kv()),
            None => Err(Failure::new(
                CurtStatus::Busy,
                "the engine has given back its memory: nothing is cached",
            )),
        };
        if lent.is_err() {
            self.release();
        }
        lent
    }

    /// One view of keys and values is not used any more.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.borrowed = state.borrowed.saturating_sub(1);
        let idle = state.borrowed == 0 && state.turn.is_none();
        drop(state);
        if idle {
            self.settle(&mut self.engine());
        }
    }

    /// Gives back what `level` says: at once, or as soon as nobody uses it.
    ///
    /// # Errors
    /// [`CurtStatus::Panic`] of a broken engine, [`CurtStatus::Handle`] of a closed one.
    pub fn trim(&self, level: Level) -> Result<(), Failure> {
        let mut state = self.state();
        self.alive(&state)?;
        state.trim = state.trim.max(Some(level));
        let idle = state.turn.is_none();
        drop(state);
        if idle {
            self.settle(&mut self.engine());
        }
        Ok(())
    }

    /// Cancels the question under way and takes no other until [`Self::foreground`]; gives back keys, values and the vision
    /// graph, and the weights too where a provider may hold them on a device. Returns when the question has ended and nothing
    /// runs any more; on the thread that asks, in a callback, at once.
    ///
    /// # Errors
    /// As [`Self::trim`].
    pub fn background(&self) -> Result<(), Failure> {
        let level = match self.options.providers.any_beside_cpu() {
            false => Level::Rows,
            true => Level::Weights,
        };
        let mut state = self.state();
        self.alive(&state)?;
        state.background = true;
        state.trim = state.trim.max(Some(level));
        let mut mine = false;
        if let Some((thread, cancel)) = &state.turn {
            cancel.cancel();
            mine = *thread == thread::current().id();
        }
        drop(state);
        if !mine {
            // The turn under way holds the engine until it has ended.
            self.settle(&mut self.engine());
        }
        Ok(())
    }

    /// Takes questions again.
    ///
    /// # Errors
    /// As [`Self::trim`].
    pub fn foreground(&self) -> Result<(), Failure> {
        let mut state = self.state();
        self.alive(&state)?;
        state.background = false;
        Ok(())
    }

    /// Cancels the question under way and gives everything back: at once, or as soon as nobody uses it.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        if let Some((_, cancel)) = &state.turn {
            cancel.cancel();
        }
        let idle = state.turn.is_none();
        drop(state);
        if idle {
            self.settle(&mut self.engine());
        }
    }

    /// Lets the caller be the one who asks.
    fn begin(&self, cancel: &CancelToken) -> Result<Turn<'_>, Failure> {
        let mut state = self.state();
        self.usable(&state)?;
        if let Some((thread, _)) = &state.turn {
            let who = match *thread == thread::current().id() {
                true => "this thread, in whose callback the call was made",
                false => "another thread",
            };
            let message = format!("the engine is answering a question of {who}");
            return Err(Failure::new(CurtStatus::Busy, message));
        }
        if state.borrowed > 0 {
            let message = format!("{} views of keys and values are borrowed", state.borrowed);
            return Err(Failure::new(CurtStatus::Busy, message));
        }
        state.turn = Some((thread::current().id(), cancel.clone()));
        drop(state);
        Ok(Turn {
            resident: self,
            engine: self.engine(),
            cancel: cancel.clone(),
        })
    }

    /// # Errors
    /// [`CurtStatus::Background`], and those of [`Self::alive`].
    fn usable(&self, state: &State) -> Result<(), Failure> {
        self.alive(state)?;
        match state.background {
            true => Err(Failure::new(
                CurtStatus::Background,
                "the engine is in the background",
            )),
            false => Ok(()),
        }
    }

    /// # Errors
    /// [`CurtStatus::Handle`] of a closed engine, [`CurtStatus::Panic`] of a broken one.
    fn alive(&self, state: &State) -> Result<(), Failure> {
        if state.closed {
            return Err(Failure::new(CurtStatus::Handle, "the engine was closed"));
        }
        match state.broken {
            true => Err(Failure::new(
                CurtStatus::Panic,
                "the engine is broken by a fault in a call before this one",
            )),
            false => Ok(()),
        }
    }

    /// Gives back what is to be given back, where nobody uses it.
    fn settle(&self, engine: &mut Option<Engine>) {
        let mut state = self.state();
        if state.borrowed > 0 {
            return;
        }
        let (trim, closed, broken) = (state.trim.take(), state.closed, state.broken);
        drop(state);
        match (trim, &mut *engine) {
            _ if closed => *engine = None,
            // What a panic has left half done is touched no more.
            _ if broken => {}
            (Some(Level::Weights), _) => *engine = None,
            // A system that refuses the smaller memory lets the larger one be kept, which is no worse than before.
            (Some(Level::Images), Some(engine)) => drop(engine.trim(Trim::Images)),
            (Some(Level::Rows), Some(engine)) => drop(engine.trim(Trim::Rows)),
            _ => {}
        }
    }

    fn engine(&self) -> MutexGuard<'_, Option<Engine>> {
        // A panic while it is held is noted in the state.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, its holder asks, and nobody else.
struct Turn<'a> {
    resident: &'a Resident,
    engine: MutexGuard<'a, Option<Engine>>,
    cancel: CancelToken,
}

impl Turn<'_> {
    /// The engine, loaded again where its weights were given back.
    fn engine(&mut self) -> Result<&mut Engine, Failure> {
        match &mut *self.engine {
            Some(engine) => Ok(engine),
            empty => {
                let options = EngineOptions {
                    cancel: self.cancel.clone(),
                    ..self.resident.options.clone()
                };
                Ok(empty.insert(Engine::open(&self.resident.dir, &options)?))
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.resident.state();
        state.turn = None;
        state.broken |= thread::panicking();
        drop(state);
        self.resident.settle(&mut self.engine);
    }
}

/// While it lives, callbacks on this thread may borrow of the cache.
struct Shown;

impl Shown {
    fn new(resident: &Resident, kv: &KvCache) -> Self {
        SHOWN.set((resident, kv));
        Self
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        SHOWN.set((ptr::null(), ptr::null()));
    }
}
