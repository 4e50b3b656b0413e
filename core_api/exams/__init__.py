"""
Exams and who may take or reach them: their fields, assignments with exceptions, policy, permissions.
"""
