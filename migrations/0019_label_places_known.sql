-- The planner has to know the spread of job_place. Apart from 0017, so that nobody waits for it.
ANALYZE joblog.job;
