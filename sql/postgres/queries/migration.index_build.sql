-- migration.index_build
SELECT build.phase::text AS phase,
       build.blocks_done AS blocks_done,
       build.blocks_total AS blocks_total,
       blocker.pid AS session,
       blocker.application_name::text AS application,
       extract(epoch FROM now() - blocker.xact_start)::int8 AS seconds
FROM pg_stat_progress_create_index AS build
    LEFT JOIN pg_stat_activity AS blocker ON blocker.pid = nullif(build.current_locker_pid, 0)
WHERE build.pid = $1::int4
