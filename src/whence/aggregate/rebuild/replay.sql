-- name: begin!
INSERT INTO partition_position (partition, log_id, base_offset, next_offset, epoch)
VALUES (:partition, :log_id, :base, :base, :epoch)
