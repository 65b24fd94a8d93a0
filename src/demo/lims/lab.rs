//! The laboratory's side of the LIMS: building the world, and acting like a person at a screen.
//!
//! None of this goes through HTTP, none of it is met by faults, and a lag does not hide it from the other methods here.

use jiff::Timestamp;

use super::Lims;
use super::recipe::{NewData, NewRun, NewSample, NewSampleIds as Sample, Run, Unknown};
use super::settings::{StepState, Udf};
use super::world::{LAB_USER, StageStatus};

impl Lims {
    /// Creates a project and gives its limsid (`OUS1`).
    pub fn add_project(&self, name: &str, udfs: Vec<Udf>) -> String {
        self.lock().world.add_project(name, udfs)
    }

    /// Creates a finished sequencing run, demultiplexed, with empty lanes.
    pub fn add_run(&self, new: NewRun) -> Run {
        self.lock().world.add_run(&new)
    }

    /// Creates a sample with what was sequenced of it.
    ///
    /// # Errors
    /// If its project, or a lane of a run, does not exist.
    pub fn add_sample(&self, new: NewSample) -> Result<Sample, Unknown> {
        self.lock().world.add_sample(&new)
    }

    /// Adds data of one more lane (or run) to a sample and gives the demultiplexing output's limsid (`92-…`).
    ///
    /// # Errors
    /// If the sample, run or lane does not exist.
    pub fn add_data(&self, sample: &str, data: NewData) -> Result<String, Unknown> {
        self.lock().world.add_data(sample, &data)
    }

    /// Creates a control and gives its artifact, which can be queued like any other.
    pub fn add_control(&self, name: &str) -> String {
        self.lock().world.add_control(name)
    }

    /// Puts an artifact into the export queue, waiting since now. Twice is once.
    ///
    /// # Errors
    /// If there is no such artifact.
    pub fn enqueue(&self, artifact: &str) -> Result<(), Unknown> {
        let now = self.lock().world.now();
        self.enqueue_at(artifact, now)
    }

    /// As [`Lims::enqueue`], waiting since a time of your choice.
    ///
    /// # Errors
    /// If there is no such artifact.
    pub fn enqueue_at(&self, artifact: &str, since: Timestamp) -> Result<(), Unknown> {
        let world = &mut self.lock().world;
        if !world.artifacts.contains_key(artifact) {
            return Err(Unknown::new("artifact", artifact));
        }
        let step = world.settings.export_step;
        world.enqueue(step, artifact, since, None);
        Ok(())
    }

    /// Takes an artifact out of the export queue, as a person may; false if it was not there.
    pub fn withdraw(&self, artifact: &str) -> bool {
        let world = &mut self.lock().world;
        let step = world.settings.export_step;
        world.dequeue(step, artifact, StageStatus::Removed)
    }

    /// Changes the UDFs of a project, sample, artifact, process or step run.
    ///
    /// # Errors
    /// If there is nothing with this limsid.
    pub fn edit_udfs(&self, limsid: &str, change: impl FnOnce(&mut Vec<Udf>)) -> Result<(), Unknown> {
        let world = &mut self.lock().world;
        change(world.udfs_of(limsid).ok_or_else(|| Unknown::new("limsid", limsid))?);
        Ok(())
    }

    /// Makes a demultiplexing output name another sample than the lane's pool has under its label: a bug of real
    /// servers.
    ///
    /// # Errors
    /// If the output or the sample does not exist.
    pub fn mislabel(&self, output: &str, sample: &str) -> Result<(), Unknown> {
        let world = &mut self.lock().world;
        if !world.samples.contains_key(sample) {
            return Err(Unknown::new("sample", sample));
        }
        let found = world.artifacts.get_mut(output).ok_or_else(|| Unknown::new("artifact", output))?;
        found.samples = vec![sample.to_owned()];
        Ok(())
    }

    // Acting like a person at a screen.

    /// Somebody else starts the export step with these artifacts; gives the step's id.
    ///
    /// # Errors
    /// If one of them is not queued.
    pub fn start_elsewhere(&self, artifacts: &[String]) -> Result<String, Unknown> {
        let world = &mut self.lock().world;
        let config = world.config();
        let step = config.step(world.settings.export_step).ok_or_else(|| Unknown::new("step", "export"))?;
        world
            .start_step(step, artifacts, LAB_USER)
            .map_err(|refusal| Unknown::new("queued artifact", refusal.message))
    }

    /// Somebody closes an open step, also one under review. Artifacts that nobody chose an action for, or that wait
    /// for review, get `complete`.
    ///
    /// # Errors
    /// If there is no such step, or it is completed already.
    pub fn complete_elsewhere(&self, step: &str) -> Result<(), Unknown> {
        let world = &mut self.lock().world;
        let run = world.steps.get_mut(step).filter(|run| run.state != StepState::Completed);
        let run = run.ok_or_else(|| Unknown::new("open step", step))?;
        run.program = None;
        for next in run.actions.values_mut().filter(|next| next.action.is_empty() || next.action == "review")
        {
            next.action = "complete".to_owned();
        }
        world.close_step(step).map_err(|_| Unknown::new("open step", step))
    }

    /// The reviewer has looked at the escalated artifacts and gives the step back: it is in Assign Next Steps again, their
    /// action is to be chosen anew, and the escalation shows what was said.
    ///
    /// # Errors
    /// If there is no such step under review.
    pub fn release(&self, step: &str, said: &str) -> Result<(), Unknown> {
        let world = &mut self.lock().world;
        let run = world.steps.get_mut(step).filter(|run| run.state == StepState::UnderReview);
        let run = run.ok_or_else(|| Unknown::new("step under review", step))?;
        run.state = StepState::AssignNextSteps;
        run.actions.values_mut().filter(|next| next.action == "review").for_each(|next| next.action.clear());
        if let Some(escalation) = &mut run.escalation {
            escalation.review = Some(said.to_owned());
        }
        Ok(())
    }

    /// Somebody aborts an open step, whoever started it: its artifacts wait in the queue again.
    ///
    /// # Errors
    /// If there is no such step, or it is completed already.
    pub fn abort_elsewhere(&self, step: &str) -> Result<(), Unknown> {
        let world = &mut self.lock().world;
        world.delete_step(step).map(drop).map_err(|_| Unknown::new("open step", step))
    }

    /// Somebody closes the message box of a program that ended with one.
    ///
    /// # Errors
    /// If there is no such step, or nothing to close.
    pub fn acknowledge(&self, step: &str) -> Result<(), Unknown> {
        self.lock().world.program_closed(step).map_err(|_| Unknown::new("step with a message to close", step))
    }
}
