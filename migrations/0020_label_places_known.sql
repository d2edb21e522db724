-- The planner has to know the spread of job_spot. Apart from it, so that nobody waits for this.
ANALYZE joblog.job;
