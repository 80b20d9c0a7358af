/** What a shell reads to complete `troupe`: it asks `troupe __complete` with the words so far and offers the lines it gets. */
export const scripts = {
  bash: `# Put this into ~/.bashrc:  source <(troupe completion bash)
_troupe_complete() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  local IFS=$'\\n'
  COMPREPLY=($(troupe __complete -- "\${words[@]}" 2>/dev/null))
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]]; then compopt -o nospace; fi
}
complete -o default -F _troupe_complete troupe
`,
  zsh: `#compdef troupe
# Put this into ~/.zshrc, after compinit:  source <(troupe completion zsh)
_troupe() {
  local -a found
  found=("\${(@f)$(troupe __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then
    compadd -- "\${found[@]}"
  else
    _files
  fi
}
compdef _troupe troupe
`,
  fish: `# Put this into ~/.config/fish/config.fish:  troupe completion fish | source
function __troupe_complete
    set -l words (commandline -opc) (commandline -ct)
    troupe __complete -- $words[2..-1] 2>/dev/null
end
complete -c troupe -a '(__troupe_complete)'
`,
} as const;

export type ShellName = keyof typeof scripts;
