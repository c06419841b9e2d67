//! Every integration test of the crate in one binary: linked once.

mod arms;
mod calibrate;
mod compare;
mod edited;
mod figures;
mod fuzz;
mod measure;
mod report;
mod report_browser;
mod runner;
mod runner_folder;
mod runner_jobs;
mod server;
mod server_untrusted;
mod statistics;
mod support;
mod untrusted;
mod verdict;
