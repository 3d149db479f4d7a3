"""What `mgoe_tf.experiments` does: plans, runs, statistics, measurements and the page."""
