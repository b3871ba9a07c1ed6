"""What pictures are seen through: networks without their heads, and what those make of whole image sets"""
