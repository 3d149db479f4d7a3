"""The batch sizes of the batching files, of the warm-up requests and of the client."""

MAX_BATCH_SIZE = 1024  # the largest flat request; a server that batches refuses more
ALLOWED_BATCH_SIZES = tuple(1 << power for power in range(MAX_BATCH_SIZE.bit_length()))
