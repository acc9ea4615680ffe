-- statistics
SELECT hour, statistic, events
FROM hourly_statistics
WHERE hour >= $1 AND hour < $2
ORDER BY hour, statistic COLLATE "C"
