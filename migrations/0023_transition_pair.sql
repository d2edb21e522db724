-- The changes of status that there are, held against every row of the record too: equal to joblog.transition_rule, and so to
-- JOB_TRANSITIONS in server/core/life.h. A list, since a constraint that asked a table would cost a look for each row and not hold.
-- Not validated here: that would read the whole table with everybody shut out.
ALTER TABLE joblog.transition ADD CONSTRAINT transition_pair CHECK (
    CASE from_status
        WHEN 1 THEN to_status IN (2, 5)
        WHEN 2 THEN to_status IN (1, 3, 4, 5)
        WHEN 4 THEN to_status = 1
        WHEN 5 THEN to_status = 1
        ELSE false
    END) NOT VALID;
