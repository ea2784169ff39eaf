"""
Study callbacks that stop a study.
"""
