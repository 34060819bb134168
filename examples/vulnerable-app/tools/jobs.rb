# Jobs, written badly on purpose.
require "digest"
require "yaml"

def run(name)
  system("job #{name}")
end

def settings(text)
  YAML.load(text)
end

def find(name)
  User.where("name = '#{name}'")
end

def find_safely(name)
  User.where(name: name)
end

def digest(text)
  Digest::MD5.hexdigest(text)
end

def calculate(expression)
  eval(expression)
end
