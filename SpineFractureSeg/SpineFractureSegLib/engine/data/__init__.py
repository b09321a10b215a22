"""Readers of public data sets and of a site's own folders: from files on a disk to cases that ``train`` takes.

Read in this order: ``scan`` (what is known of one CT, whatever the layout), ``recognize`` (which layout a folder has),
one file per layout (``rsna``, ``nnunet``, ``verse``, ``verse_challenge``, ``ctspine1k``, ``pairs``), ``label_map``
(label files as they are), ``fracture_truth`` (grades, levels or masks -> what is claimed where), ``to_case`` (a scan on
the working grid), ``prepare`` (a data set -> a folder of cases), ``case_folder`` (that folder as ``train`` sees it).

Position and orientation always come from the files' affine matrices; no axis is ever flipped by its index.
"""
