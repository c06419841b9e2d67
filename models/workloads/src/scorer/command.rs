//! A program that grades.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Item;

/// The status of a program that finds the answer right, and wrong. Any other is a failure of the program.
const RIGHT: i32 = 0;
const WRONG: i32 = 1;
/// How often a running program is looked at; what it adds to a program's own time is at most this.
const POLL: Duration = Duration::from_millis(2);
/// As much of a failing program's messages as an error repeats.
const MESSAGE_BYTES: u64 = 400;
/// A program that says more than this is ended: its messages lie in a temporary file.
const MOST_MESSAGE_BYTES: u64 = 4 << 20;

/// Runs the program on one answer.
///
/// # Errors
/// What went wrong: it does not start, takes too long, ends by a signal or with a status other than 0 and 1.
pub fn grade(
    argv: &[String],
    timeout: Duration,
    folder: &Path,
    item: &Item,
    answer: Option<&str>,
    text: &str,
) -> Result<bool, String> {
    let (program, arguments) = argv.split_first().ok_or("argv is empty")?;
    let asked = json!({
        "id": item.id,
        "group": item.group,
        "question": item.question,
        "image": item.image,
        "choices": item.choices,
        "answer": item.answer,
        "found": answer,
        "text": text,
    });
    // Files and not pipes: a program that leaves without reading must not end us by a signal, and one that writes much
    // must not wait for us.
    let mut input = tempfile::tempfile().map_err(|e| format!("no temporary file: {e}"))?;
    let mut messages = tempfile::tempfile().map_err(|e| format!("no temporary file: {e}"))?;
    let handed = messages
        .try_clone()
        .map_err(|e| format!("no temporary file: {e}"))?;
    input
        .write_all(asked.to_string().as_bytes())
        .and_then(|()| input.seek(SeekFrom::Start(0)))
        .map_err(|e| format!("the item cannot be handed over: {e}"))?;
    // A path counts from the folder; a bare name is looked for where the system looks.
    let path = Path::new(program);
    let program_path = if path.components().count() > 1 {
        folder.join(path)
    } else {
        path.into()
    };
    let mut command = Command::new(&program_path);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(handed);
    own_group(&mut command);
    let mut child = command
        .spawn()
        .map_err(|e| format!("{} does not start: {e}; check argv", program_path.display()))?;
    let status = match wait(&mut child, timeout, &messages) {
        Ok(status) => status,
        Err(reason) => {
            end(&mut child);
            return Err(format!("{program} {reason}"));
        }
    };
    match status.code() {
        Some(RIGHT) => Ok(true),
        Some(WRONG) => Ok(false),
        _ => {
            let mut said = Vec::new();
            // What it said is an extra: without it the status stands alone.
            let _ = messages
                .seek(SeekFrom::Start(0))
                .and_then(|_| messages.take(MESSAGE_BYTES).read_to_end(&mut said));
            let said = String::from_utf8_lossy(&said);
            // It goes to a terminal.
            let said: String = said
                .trim()
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            Err(format!(
                "{program} ended with {status}, and only 0 (right) and 1 (wrong) are answers: {said}"
            ))
        }
    }
}

/// The status of the program, once it has ended by itself; what it has started and left behind is ended.
///
/// # Errors
/// Why it has to be ended.
fn wait(child: &mut Child, timeout: Duration, messages: &File) -> Result<ExitStatus, String> {
    let started = Instant::now();
    while !has_ended(child)? {
        if started.elapsed() >= timeout {
            return Err(format!(
                "was ended after {} s; raise timeout_s if it needs longer",
                timeout.as_secs_f64()
            ));
        }
        let said = messages.metadata().map_or(0, |metadata| metadata.len());
        if said > MOST_MESSAGE_BYTES {
            return Err(format!(
                "was ended after {said} bytes on standard error; at most {MOST_MESSAGE_BYTES} are taken"
            ));
        }
        thread::sleep(POLL);
    }
    end_group(child);
    child
        .wait()
        .map_err(|e| format!("cannot be waited for: {e}"))
}

/// Whether the program has ended. It is not waited for: its number is still its own.
#[cfg(unix)]
fn has_ended(child: &Child) -> Result<bool, String> {
    // SAFETY: all bits zero is a value of this plain C struct, which waitid fills.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` outlives the call, which writes nothing else.
    let failed = unsafe { libc::waitid(libc::P_PID, child.id(), &mut info, options) } != 0;
    if failed {
        return Err(format!(
            "cannot be waited for: {}",
            std::io::Error::last_os_error()
        ));
    }
    // SAFETY: waitid has filled it; without an ended child its pid is the 0 it was.
    Ok(unsafe { info.si_pid() } != 0)
}

#[cfg(not(unix))]
fn has_ended(child: &mut Child) -> Result<bool, String> {
    let status = child.try_wait();
    status
        .map(|s| s.is_some())
        .map_err(|e| format!("cannot be waited for: {e}"))
}

/// A process group of its own, so that what the program has started ends with it.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

/// Ends the program and, on Unix, what it has started.
fn end(child: &mut Child) {
    end_group(child);
    // An error says that it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Ends what stands in the program's group. The program has not been waited for.
fn end_group(child: &Child) {
    #[cfg(not(unix))]
    let _ = child;
    #[cfg(unix)]
    if let Ok(group) = libc::pid_t::try_from(child.id()) {
        // SAFETY: kill reads no memory of ours. The child has not been waited for, so its number names it and the group
        // that `own_group` gave it, and nothing else.
        unsafe {
            libc::kill(-group, libc::SIGKILL);
        }
    }
}
