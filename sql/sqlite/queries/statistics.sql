-- statistics
SELECT hour, statistic, events
FROM hourly_statistics
WHERE hour >= :from AND hour < :until
ORDER BY hour, statistic
