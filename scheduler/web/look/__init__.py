"""The look that all pages share: colours, type and spacing as CSS custom properties (`tokens.css`)."""
