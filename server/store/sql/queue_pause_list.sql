-- The queues that are paused. Rows: queue.
SELECT queue FROM joblog.queue_pause
