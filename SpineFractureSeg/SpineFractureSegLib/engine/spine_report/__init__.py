"""The vertebrae of one run for people and other programs: picture, table, page, and DICOM objects.

Everything here is made from ``Vertebra`` objects, findings and images; nothing is measured anew.
"""
