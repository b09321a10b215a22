"""Labels meet where the probability is least, however crooked the disc."""

import numpy as np

from SpineFractureSegLib.engine.vertebrae.flooding import flood


def test_labels_meet_in_a_stepped_disc_and_not_in_its_plane():
    probability = np.full((20, 6, 20), 0.99)
    disc = np.zeros(probability.shape, bool)
    disc[7, :, :10] = disc[12, :, 9:] = disc[7:13, :, 9] = True
    probability[disc] = 0.55
    labels = np.zeros(probability.shape, np.uint8)
    labels[:3], labels[17:] = 1, 2
    flood(labels, np.argwhere(labels == 0), probability)
    upper = np.arange(20)[:, None, None] < np.where(np.arange(20) < 9, 7, 12)
    upper = np.broadcast_to(upper, labels.shape)
    assert (labels[upper & ~disc] == 1).all()
    assert (labels[~upper & ~disc] == 2).all()
    assert labels[disc].all()


def test_what_no_label_reaches_and_what_is_no_bone_stays_out():
    probability = np.full((4, 4, 9), 0.9)
    probability[:, :, 4:6] = 0.3
    labels = np.zeros(probability.shape, np.uint8)
    labels[:, :, 0] = 7
    flood(labels, np.argwhere(labels == 0), probability)
    assert (labels[:, :, :4] == 7).all()
    assert not labels[:, :, 4:].any()
